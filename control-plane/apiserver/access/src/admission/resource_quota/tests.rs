use serde_json::{Value, json};

use super::super::tests::{Ask, create, create_pod, told};
use super::*;
use crate::resources::RESOURCE_QUOTAS;
use crate::testing::{FakeObjects, object};

fn quota(name: &str, spec: Value, hard: Value, used: Value) -> Value {
    let mut quota = object("default", name, "");
    quota["metadata"]["resourceVersion"] = "5".into();
    quota["spec"] = spec;
    quota["status"] = json!({"hard": hard, "used": used});
    quota
}

/// Writes into the fake cache, as far as told only after conflicts.
struct Writer {
    objects: Arc<FakeObjects>,
    conflicts: Mutex<u32>,
    writes: Mutex<u32>,
}

#[async_trait]
impl QuotaUpdater for Writer {
    async fn update_status(&self, mut quota: Value) -> Result<Arc<Value>, Status> {
        *self.writes.lock() += 1;
        let name = crate::value::name(&quota).to_string();
        let now = self.objects.get(&RESOURCE_QUOTAS, "default", &name).expect("it is there");
        let mut conflicts = self.conflicts.lock();
        if *conflicts > 0 || revision(&now) != revision(&quota) {
            *conflicts = conflicts.saturating_sub(1);
            return Err(Status::modified(&RESOURCE_QUOTAS, &name));
        }
        quota["metadata"]["resourceVersion"] = (revision(&quota) + 1).to_string().into();
        self.objects.put(&RESOURCE_QUOTAS, quota.clone());
        Ok(Arc::new(quota))
    }
}

struct Fixture {
    plugin: Arc<ResourceQuota>,
    writer: Arc<Writer>,
}

fn fixture(quotas: Vec<Value>, limited: Vec<LimitedResource>) -> Fixture {
    let objects = FakeObjects::with(&[]);
    quotas.into_iter().for_each(|quota| objects.put(&RESOURCE_QUOTAS, quota));
    let writer =
        Arc::new(Writer { objects: objects.clone(), conflicts: Mutex::new(0), writes: Mutex::new(0) });
    let plugin = Arc::new(ResourceQuota::new(objects, writer.clone(), limited));
    Fixture { plugin, writer }
}

impl Fixture {
    async fn ask(&self, ask: Ask) -> String {
        told(ask.through_shared(self.plugin.clone()).await)
            .err()
            .map(|(_, message)| message)
            .unwrap_or_default()
    }

    fn used(&self, name: &str) -> Value {
        self.writer.objects.get(&RESOURCE_QUOTAS, "default", name).expect("it is there")["status"]["used"]
            .clone()
    }
}

fn cpu(amount: &str) -> Ask {
    create_pod(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": amount}}}]}))
}

#[tokio::test]
async fn pods_are_charged_until_the_room_is_used() {
    let hard = json!({"requests.cpu": "1", "pods": "10"});
    let used = json!({"requests.cpu": "400m", "pods": "1"});
    let quotas = fixture(vec![quota("compute", json!({}), hard, used)], vec![]);
    assert_eq!(quotas.ask(cpu("500m")).await, "");
    assert_eq!(quotas.used("compute"), json!({"requests.cpu": "900m", "pods": "2"}));
    assert_eq!(
        quotas.ask(cpu("500m")).await,
        "pods \"web\" is forbidden: exceeded quota: compute, requested: requests.cpu=500m, used: requests.cpu=900m, \
         limited: requests.cpu=1"
    );
    assert_eq!(quotas.ask(cpu("100m").dry()).await, "");
    assert_eq!(quotas.used("compute")["pods"], "2", "a dry run is not noted");
    let silent = create_pod(json!({"containers": [{"name": "b"}, {"name": "a"}]}));
    assert_eq!(
        quotas.ask(silent).await,
        "pods \"web\" is forbidden: failed quota: compute: must specify requests.cpu for: a,b"
    );
}

#[tokio::test]
async fn what_was_not_counted_yet_is_unknown() {
    let quotas = fixture(vec![quota("new", json!({}), json!({"pods": "1"}), json!({}))], vec![]);
    let pod = create_pod(json!({"containers": []}));
    assert_eq!(
        quotas.ask(pod).await,
        "pods \"web\" is forbidden: status unknown for quota: new, resources: pods"
    );
}

#[tokio::test]
async fn scopes() {
    let of = |name: &str, spec: Value| quota(name, spec, json!({"pods": "5"}), json!({"pods": "0"}));
    let high = json!({"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
    ]}});
    let quotas = fixture(
        vec![
            of("best-effort", json!({"scopes": ["BestEffort"]})),
            of("high", high),
            of("rest", json!({"scopes": ["NotBestEffort", "NotTerminating"]})),
            of("terminating", json!({"scopes": ["Terminating"]})),
        ],
        vec![],
    );
    let container = json!([{"name": "a"}]);
    let asks = [
        create_pod(json!({"containers": container})),
        create_pod(json!({"containers": container, "priorityClassName": "high", "activeDeadlineSeconds": 5})),
        cpu("1"),
    ];
    for ask in asks {
        assert_eq!(quotas.ask(ask).await, "");
    }
    let counts: Vec<Value> = ["best-effort", "high", "rest", "terminating"]
        .iter()
        .map(|name| quotas.used(name)["pods"].clone())
        .collect();
    assert_eq!(counts, ["2", "1", "1", "1"]);
}

fn thing(resource: &str, spec: Value) -> Ask {
    let mut thing = object("default", "x", "");
    thing["spec"] = spec;
    create(
        resource.split_once('/').map_or("", |(group, _)| group),
        resource.rsplit('/').next().unwrap_or(""),
        thing,
    )
}

#[tokio::test]
async fn other_things() {
    let cases: Vec<(Ask, Value, &str)> = vec![
        (thing("configmaps", json!({})), json!({"configmaps": "1", "count/configmaps": "1"}), ""),
        (thing("apps/deployments", json!({})), json!({"count/deployments.apps": "1"}), ""),
        (
            thing("services", json!({"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]})),
            json!({"services": "1", "services.nodeports": "2", "services.loadbalancers": "1"}),
            "",
        ),
        (
            thing(
                "persistentvolumeclaims",
                json!({
                    "storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}},
                }),
            ),
            json!({
                "persistentvolumeclaims": "1", "requests.storage": "1Gi",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            }),
            "",
        ),
        (
            thing(
                "resource.k8s.io/resourceclaims",
                json!({"devices": {"requests": [
                    {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
                    {"name": "b", "firstAvailable": [{"deviceClassName": "gpu", "allocationMode": "All"}]},
                ]}}),
            ),
            json!({"gpu.deviceclass.resource.k8s.io/devices": "34"}),
            "",
        ),
        (
            create_pod(json!({"containers": [{"name": "a", "resources": {
                "requests": {"example.com/gpu": "2", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "1"},
            }}]})),
            json!({
                "count/pods": "1", "pods": "1", "requests.example.com/gpu": "2", "hugepages-2Mi": "4Mi",
                "requests.hugepages-2Mi": "4Mi", "limits.cpu": "1",
            }),
            "",
        ),
    ];
    for (ask, used, want) in cases {
        let none: serde_json::Map<String, Value> =
            used.as_object().expect("a map").keys().map(|name| (name.clone(), "0".into())).collect();
        let many: serde_json::Map<String, Value> =
            none.keys().map(|name| (name.clone(), "100Gi".into())).collect();
        let quotas = fixture(vec![quota("q", json!({}), many.into(), none.into())], vec![]);
        assert_eq!(quotas.ask(ask).await, want);
        assert_eq!(quotas.used("q"), used);
    }
}

#[tokio::test]
async fn updates_are_charged_by_their_growth() {
    let hard = json!({"requests.storage": "10Gi"});
    let quotas = fixture(vec![quota("q", json!({}), hard, json!({"requests.storage": "4Gi"}))], vec![]);
    let claim = |size: &str| {
        let mut claim = object("default", "data", "");
        claim["spec"] = json!({"resources": {"requests": {"storage": size}}});
        claim
    };
    let grow = |from: &str, to: &str| create("", "persistentvolumeclaims", claim(to)).update(claim(from));
    assert_eq!(quotas.ask(grow("4Gi", "6Gi")).await, "");
    assert_eq!(quotas.used("q"), json!({"requests.storage": "6Gi"}));
    assert_eq!(quotas.ask(grow("6Gi", "6Gi")).await, "");
    assert!(
        quotas.ask(grow("6Gi", "11Gi")).await.contains("exceeded quota: q, requested: requests.storage=5Gi")
    );
}

#[tokio::test]
async fn a_pod_that_is_given_a_deadline_comes_under_another_quota() {
    let of = |name: &str, scope: &str| {
        quota(name, json!({"scopes": [scope]}), json!({"pods": "1"}), json!({"pods": "0"}))
    };
    let quotas = fixture(vec![of("brief", "Terminating"), of("long", "NotTerminating")], vec![]);
    let before = |spec: Value| {
        let mut pod = object("default", "web", "");
        pod["spec"] = spec;
        pod
    };
    let limited = || create_pod(json!({"activeDeadlineSeconds": 5}));
    assert_eq!(quotas.ask(limited().update(before(json!({})))).await, "");
    assert_eq!((quotas.used("brief"), quotas.used("long")), (json!({"pods": "1"}), json!({"pods": "0"})));
    assert!(quotas.ask(limited().update(before(json!({})))).await.contains("exceeded quota: brief"));
    assert_eq!(quotas.ask(limited().update(before(json!({"activeDeadlineSeconds": 9})))).await, "");
}

#[tokio::test]
async fn a_conflict_is_tried_again_and_not_for_ever() {
    let quotas = fixture(vec![quota("q", json!({}), json!({"pods": "9"}), json!({"pods": "0"}))], vec![]);
    *quotas.writer.conflicts.lock() = 2;
    assert_eq!(quotas.ask(create_pod(json!({}))).await, "");
    assert_eq!(quotas.used("q"), json!({"pods": "1"}));
    *quotas.writer.conflicts.lock() = 9;
    assert!(quotas.ask(create_pod(json!({}))).await.contains("the object has been modified"));
}

#[tokio::test]
async fn a_burst_is_one_write() {
    let quotas = fixture(vec![quota("q", json!({}), json!({"pods": "3"}), json!({"pods": "0"}))], vec![]);
    let line = quotas.plugin.line("default");
    let turn = line.written.lock().await;
    let five = (0..5).map(|_| quotas.ask(create_pod(json!({}))));
    let all = async { tokio::join!(futures_all(five), async { drop(turn) }).0 };
    let refused = all.await.into_iter().filter(|message| message.contains("exceeded quota")).count();
    assert_eq!(refused, 2);
    assert_eq!((quotas.used("q"), *quotas.writer.writes.lock()), (json!({"pods": "3"}), 1));
}

/// All futures, polled in turn until each is done.
async fn futures_all(futures: impl Iterator<Item = impl Future<Output = String>>) -> Vec<String> {
    let mut pending: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut done = true;
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(text) => *output = Some(text),
                std::task::Poll::Pending => done = false,
            }
        }
        if done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn limited_by_configuration() {
    let mut faults = crate::admission::config::ConfigFaults::new();
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
        "limitedResources": [
            {"resource": "persistentvolumeclaims", "matchContains": ["gold.storageclass"]},
            {"resource": "pods", "matchScopes": [
                {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
            ]},
        ],
    });
    let limited = limited_resources(&configuration, &mut faults);
    assert_eq!(faults.into_result(()), Ok(()));
    let quotas = fixture(vec![], limited);
    let claim = |class: &str| thing("persistentvolumeclaims", json!({"storageClassName": class}));
    assert_eq!(quotas.ask(claim("silver")).await, "");
    assert_eq!(
        quotas.ask(claim("gold")).await,
        "persistentvolumeclaims \"x\" is forbidden: insufficient quota to consume: \
         gold.storageclass.storage.k8s.io/persistentvolumeclaims"
    );
    let high = create_pod(json!({"priorityClassName": "high"}));
    assert_eq!(
        quotas.ask(high).await,
        "pods \"web\" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]"
    );
}
