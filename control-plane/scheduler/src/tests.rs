//! The whole scheduler against the fake API.

use oarlock_base::Shutdown;
use oarlock_client::testing::FakeApi;
use oarlock_telemetry::Metrics;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::testing::{node, pod};
use crate::{Config, SchedulerError, run};

struct World {
    api: FakeApi,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), SchedulerError>>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the test owns the task, and waits for it in `end`")]
    fn start(api: FakeApi) -> Self {
        let shutdown = Shutdown::new();
        let config = Config { metrics: Metrics::new(), ..Config::new(api.client()) };
        let running = tokio::spawn(run(config, shutdown.clone()));
        Self { api, shutdown, running }
    }

    async fn bound(&self, name: &str) -> String {
        let node =
            |api: &FakeApi| Some(api.get("pods", "shop", name)?["spec"]["nodeName"].as_str()?.to_string());
        self.api.until(node).await
    }

    /// The message of the first event of that reason.
    async fn event(&self, reason: &str) -> String {
        let of = |api: &FakeApi| api.list("events").into_iter().find(|event| event["reason"] == reason);
        self.api.until(of).await["message"].as_str().unwrap_or_default().to_string()
    }

    async fn end(self) {
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("ends well");
    }
}

#[tokio::test]
async fn a_pod_is_bound_where_it_fits() {
    let api = FakeApi::new();
    api.put(node("small").has("cpu", "100m").json());
    api.put(node("large").json());
    let world = World::start(api);
    world.api.put(pod("web").asks("1", "1Gi").json());
    assert_eq!(world.bound("web").await, "large");
    assert_eq!(world.event("Scheduled").await, "Successfully assigned shop/web to large");
    world.end().await;
}

#[tokio::test]
async fn a_pod_without_a_place_says_why_and_goes_there_later() {
    let world = World::start(FakeApi::new());
    world.api.put(pod("web").json());
    assert_eq!(world.event("FailedScheduling").await, "no nodes available to schedule pods");
    world.api.put(node("a").taint("dedicated", "x", "NoSchedule").json());
    let full = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
    let condition = |api: &FakeApi| {
        let pod = api.get("pods", "shop", "web")?;
        let condition = pod["status"]["conditions"].get(0)?.clone();
        (condition["message"] == full).then_some(condition)
    };
    let condition = world.api.until(condition).await;
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Unschedulable")));
    world.api.put(node("a").json());
    assert_eq!(world.bound("web").await, "a");
    world.end().await;
}

#[tokio::test]
async fn hundreds_of_pods_fill_the_nodes_to_the_brim() {
    let api = FakeApi::new();
    for i in 0..10 {
        api.put(node(&format!("n{i}")).has("pods", "100").json());
    }
    for i in 0..320 {
        api.put(pod(&format!("p{i}")).asks("125m", "1Mi").json());
    }
    let world = World::start(api);
    let placed = |api: &FakeApi| {
        let pods = api.list("pods");
        let mut load = std::collections::BTreeMap::<String, usize>::new();
        for pod in &pods {
            *load.entry(pod["spec"]["nodeName"].as_str()?.to_string()).or_default() += 1;
        }
        Some(load)
    };
    let load = world.api.until(placed).await;
    assert!(load.len() == 10 && load.values().all(|pods| *pods == 32), "{load:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_fails_is_tried_again() {
    let api = FakeApi::new();
    api.put(node("a").json());
    api.fail_next("POST", "binding", 500, "InternalError");
    let world = World::start(api);
    world.api.put(pod("web").json());
    let message = world.event("FailedScheduling").await;
    assert_eq!(message, "binding rejected: running Bind plugin \"DefaultBinder\": injected by a test");
    assert_eq!(world.bound("web").await, "a");
    world.end().await;
}

#[tokio::test]
async fn gated_and_foreign_pods_are_left_alone() {
    let api = FakeApi::new();
    api.put(node("a").json());
    let world = World::start(api);
    let gated = pod("gated").spec("schedulingGates", json!([{"name": "g"}]));
    world.api.put(gated.json());
    world.api.put(pod("foreign").spec("schedulerName", json!("other")).json());
    let reason = |api: &FakeApi| {
        let pod = api.get("pods", "shop", "gated")?;
        Some(pod["status"]["conditions"].get(0)?["reason"].as_str()?.to_string())
    };
    assert_eq!(world.api.until(reason).await, "SchedulingGated");
    world.api.put(pod("gated").json());
    assert_eq!(world.bound("gated").await, "a");
    let bindings = world.api.writes().into_iter().filter(|write| write.path.ends_with("/binding"));
    assert_eq!(
        bindings.map(|write| write.path).collect::<Vec<_>>(),
        ["/api/v1/namespaces/shop/pods/gated/binding"]
    );
    world.end().await;
}

#[tokio::test]
async fn room_that_a_pod_leaves_is_taken() {
    let api = FakeApi::new();
    api.put(node("a").has("pods", "1").json());
    api.put(pod("old").on("a").json());
    let world = World::start(api);
    world.api.put(pod("new").json());
    assert_eq!(world.event("FailedScheduling").await, "0/1 nodes are available: 1 Too many pods.");
    let mut done = pod("old").on("a").json();
    done["status"] = json!({"phase": "Succeeded"});
    world.api.put(done);
    assert_eq!(world.bound("new").await, "a");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_schedules() {
    let api = FakeApi::new();
    api.put(node("a").json());
    api.put(pod("web").json());
    let shutdown = Shutdown::new();
    let election = oarlock_client::LeaderElection::new("kube-system", "kube-scheduler", "me");
    let client = api.client();
    let config = Config { leader_election: Some(election), metrics: Metrics::new(), ..Config::new(client) };
    let watched = async {
        let bound =
            |api: &FakeApi| api.get("pods", "shop", "web")?["spec"]["nodeName"].as_str().map(str::to_string);
        assert_eq!(api.until(bound).await, "a");
        shutdown.trigger();
    };
    let (ended, ()) = tokio::join!(run(config, shutdown.clone()), watched);
    ended.expect("ends well");
    let lease = api.get("leases", "kube-system", "kube-scheduler").expect("was led");
    assert_eq!(lease["spec"]["holderIdentity"], "", "given back");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let client = FakeApi::new().client();
    let mut config = Config::new(client);
    config.profiles.extend(config.profiles.clone());
    let twice = run(config, Shutdown::new()).await;
    assert!(matches!(twice, Err(SchedulerError::DuplicateProfile { name }) if name == "default-scheduler"));
}
