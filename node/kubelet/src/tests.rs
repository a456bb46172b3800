//! The kubelet whole, against a fake runtime on a socket and an API in memory.

use std::sync::Arc;
use std::time::Duration;

use oarlock_base::{Shutdown, Tasks};
use oarlock_client::testing::FakeApi;
use oarlock_cri::fake::FakeRuntime;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Config;

mod serving;

/// A node with its kubelet running.
struct Harness {
    api: FakeApi,
    runtime: Arc<FakeRuntime>,
    dir: TempDir,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl Harness {
    async fn start() -> Self {
        Self::start_with(FakeApi::new(), FakeRuntime::new(), |_| {}).await
    }

    async fn start_with(api: FakeApi, runtime: Arc<FakeRuntime>, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("cri.sock");
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new("test", &shutdown);
        runtime.add_image("web:1");
        let listener = oarlock_cri::listen(&socket).expect("the socket is free");
        tasks.spawn("runtime", |stop| oarlock_cri::serve(listener, runtime.clone(), runtime.clone(), stop));
        let ip = "192.0.2.1".parse().expect("an address");
        let data = dir.path().join("kubelet");
        let mut config = Config::new("node-1", ip, api.client(), &socket.display().to_string(), data);
        config.cluster_dns = vec!["10.96.0.10".parse().expect("an address")];
        change(&mut config);
        tasks.spawn("kubelet", |stop| crate::run(config, stop));
        Self { api, runtime, dir, shutdown, tasks }
    }

    fn put_pod(&self, name: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["nodeName"] = json!("node-1");
        self.api.put(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1 },
            "spec": spec, "status": { "phase": "Pending" },
        }))
    }

    async fn pod_until(&self, name: &str, check: impl Fn(&Value) -> bool) -> Value {
        let seen = self.api.until(|api| api.get("pods", "shop", name).filter(|pod| check(pod)));
        match tokio::time::timeout(Duration::from_secs(20), seen).await {
            Ok(pod) => pod,
            Err(_) => panic!("pod {name} is {:#}", self.api.get("pods", "shop", name).unwrap_or_default()),
        }
    }

    async fn gone(&self, name: &str) {
        let gone = self.api.until(|api| api.get("pods", "shop", name).is_none().then_some(()));
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the pod goes");
    }

    /// Waits for an event of this reason; gives its message.
    async fn event(&self, reason: &str) -> String {
        let seen =
            self.api.until(|api| api.list("events").into_iter().find(|event| event["reason"] == reason));
        let event = tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the event is told");
        event["message"].as_str().unwrap_or_default().to_owned()
    }

    async fn stop(self) -> (FakeApi, Arc<FakeRuntime>, TempDir) {
        self.shutdown.trigger();
        self.tasks.join().await.expect("nothing failed");
        (self.api, self.runtime, self.dir)
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("absent")
}

fn ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

fn web() -> Value {
    json!({ "containers": [{ "name": "web", "image": "web:1" }] })
}

#[tokio::test]
async fn the_node_registers_ready_with_a_lease() {
    let node = Harness::start().await;
    let registered = node
        .api
        .until(|api| {
            api.get("nodes", "", "node-1").filter(|node| {
                let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
            })
        })
        .await;
    assert_eq!(registered["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
    assert_eq!(registered["status"]["allocatable"]["pods"], "110");
    assert_eq!(registered["status"]["nodeInfo"]["containerRuntimeVersion"], "fake://0.1.0");
    let lease = node.api.until(|api| api.get("leases", "kube-node-lease", "node-1")).await;
    assert_eq!(lease["spec"]["holderIdentity"], "node-1");
    node.stop().await;
}

#[tokio::test]
async fn a_node_without_a_network_is_not_ready_until_it_has_one() {
    let runtime = FakeRuntime::new();
    runtime.set_network_ready(false);
    let node = Harness::start_with(FakeApi::new(), runtime, |_| {}).await;
    let ready_is = |status: &'static str| {
        node.api.until(move |api| {
            let node = api.get("nodes", "", "node-1")?;
            let conditions = node["status"]["conditions"].as_array().cloned()?;
            conditions.into_iter().find(|c| c["type"] == "Ready" && c["status"] == status)
        })
    };
    let condition = ready_is("False").await;
    assert_eq!(condition["reason"], "KubeletNotReady");
    node.runtime.set_network_ready(true);
    assert_eq!(ready_is("True").await["message"], "kubelet is posting ready status");
    node.stop().await;
}

#[tokio::test]
async fn a_pod_runs_and_is_deleted() {
    let node = Harness::start().await;
    node.put_pod("a", web());
    let pod = node.pod_until("a", ready).await;
    let status = &pod["status"];
    assert_eq!((status["phase"].as_str(), status["hostIP"].as_str()), (Some("Running"), Some("192.0.2.1")));
    assert!(status["podIP"].as_str().is_some_and(|ip| ip.starts_with("10.244.")), "{status:#}");
    assert_eq!(status["observedGeneration"], 1);
    assert!(
        status["containerStatuses"][0]["containerID"].as_str().is_some_and(|id| id.starts_with("fake://"))
    );
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, kind), "True", "{kind}");
    }
    let pulled = "Container image \"web:1\" already present on machine and can be accessed by the pod";
    assert_eq!(node.event("Pulled").await, pulled);
    assert_eq!(node.event("Started").await, "Container started");

    let config = node.runtime.container_config("web").expect("a container");
    assert_eq!(config.labels["io.kubernetes.pod.uid"], "uid-a");
    assert_eq!(config.annotations["io.kubernetes.container.restartCount"], "0");
    let sandbox = node.runtime.sandbox_configs().pop().expect("a sandbox");
    assert_eq!(sandbox.dns_config.map(|dns| dns.servers), Some(vec!["10.96.0.10".to_owned()]));

    delete(&node, "a", 1).await;
    node.gone("a").await;
    let empty = async {
        while !node.runtime.sandbox_ids().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), empty).await.expect("nothing stays in the runtime");
    assert_eq!(node.event("Killing").await, "Stopping container web");
    node.stop().await;
}

#[tokio::test]
async fn a_pod_without_grace_ends_when_it_is_gone() {
    let node = Harness::start().await;
    let mut spec = web();
    spec["terminationGracePeriodSeconds"] = json!(0);
    node.put_pod("p", spec);
    node.pod_until("p", ready).await;
    node.api.remove("pods", "shop", "p");
    let ended = async {
        while !node.runtime.sandbox_ids().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the sandbox is removed");
    node.stop().await;
}

async fn delete(node: &Harness, name: &str, grace: u32) {
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(node.api.client(), "shop");
    let params = kube::api::DeleteParams { grace_period_seconds: Some(grace), ..Default::default() };
    api.delete(name, &params).await.expect("deleted");
}

#[tokio::test]
async fn a_job_that_ends_well_has_succeeded() {
    let node = Harness::start().await;
    let container = json!({ "name": "job", "image": "web:1", "command": ["exit", "0", "done"] });
    node.put_pod("job", json!({ "restartPolicy": "Never", "containers": [container] }));
    let pod = node.pod_until("job", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(state(&pod)["terminated"]["reason"], "Completed");
    let ready =
        pod["status"]["conditions"].as_array().expect("conditions").iter().find(|c| c["type"] == "Ready");
    assert_eq!(ready.expect("Ready")["reason"], "PodCompleted");
    node.stop().await;
}

#[tokio::test]
async fn a_crash_is_restarted_at_once_and_then_backed_off() {
    let node = Harness::start().await;
    let container = json!({ "name": "crash", "image": "web:1", "command": ["exit", "1"] });
    node.put_pod("crash", json!({ "containers": [container] }));
    let pod = node.pod_until("crash", |pod| state(pod)["waiting"]["reason"] == "CrashLoopBackOff").await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(
        container["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=crash pod=crash_shop(uid-crash)"
    );
    assert_eq!(
        node.event("BackOff").await,
        "Back-off restarting failed container crash in pod crash_shop(uid-crash)"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_missing_image_is_waited_for() {
    let node = Harness::start().await;
    node.put_pod("p", json!({ "containers": [{ "name": "c", "image": "none:1" }] }));
    let pod = node.pod_until("p", |pod| state(pod)["waiting"]["reason"] == "ErrImagePull").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    let pod = node.pod_until("p", |pod| state(pod)["waiting"]["reason"] == "ImagePullBackOff").await;
    let message = state(&pod)["waiting"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("Back-off pulling image \"none:1\""), "{message}");
    node.stop().await;
}

#[tokio::test]
async fn volumes_and_environment_come_from_objects_and_follow_them() {
    let node = Harness::start().await;
    let map = |value: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "cfg", "namespace": "shop" }, "data": { "k": value } });
    node.put_pod(
        "p",
        json!({
            "containers": [{ "name": "c", "image": "web:1", "args": ["$(FROM_MAP)"],
                "env": [
                    { "name": "FROM_MAP", "valueFrom": { "configMapKeyRef": { "name": "cfg", "key": "k" } } },
                    { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } } ],
                "volumeMounts": [{ "name": "cfg", "mountPath": "/cfg" }, { "name": "tmp", "mountPath": "/tmp" }] }],
            "volumes": [{ "name": "cfg", "configMap": { "name": "cfg" } }, { "name": "tmp", "emptyDir": {} }],
        }),
    );
    let refused = node.event("FailedMount").await;
    assert_eq!(refused, "MountVolume.SetUp failed for volume \"cfg\" : configmap \"cfg\" not found");
    node.api.put(map("one"));
    node.pod_until("p", ready).await;
    let config = node.runtime.container_config("c").expect("a container");
    assert_eq!(config.args, ["one"]);
    assert!(config.envs.iter().any(|env| env.key == "IP" && env.value.starts_with(b"10.244.")));
    let mount = config.mounts.iter().find(|mount| mount.container_path == "/cfg").expect("the mount");
    let file = std::path::Path::new(&mount.host_path).join("k");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "one");
    node.api.put(map("two"));
    let changed = async {
        while std::fs::read_to_string(&file).ok().as_deref() != Some("two") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the file follows its object");
    node.stop().await;
}

#[tokio::test]
async fn probes_decide_over_readiness_and_restarts() {
    let node = Harness::start().await;
    node.runtime.set_exec(&["ready"], 1, "not yet");
    node.runtime.set_exec(&["alive"], 0, "");
    let probe = |command: &str| json!({ "exec": { "command": [command] }, "periodSeconds": 1, "failureThreshold": 1 });
    let container = json!({ "name": "c", "image": "web:1", "readinessProbe": probe("ready"), "livenessProbe": probe("alive"), "lifecycle": {} });
    node.put_pod("p", json!({ "containers": [container], "terminationGracePeriodSeconds": 1 }));
    assert_eq!(node.event("Unhealthy").await, "Readiness probe failed: not yet");
    let pod = node.pod_until("p", |pod| pod["status"]["phase"] == "Running").await;
    assert_eq!(condition(&pod, "Ready"), "False");
    node.runtime.set_exec(&["ready"], 0, "");
    node.pod_until("p", ready).await;
    node.runtime.set_exec(&["alive"], 1, "dead");
    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 1;
    node.pod_until("p", restarted).await;
    let seen = node.api.list("events");
    let killing = seen.iter().find(|event| event["reason"] == "Killing").expect("it was killed");
    assert_eq!(killing["message"], "Container c failed liveness probe, will be restarted");
    node.stop().await;
}

#[tokio::test]
async fn init_containers_and_sidecars_come_in_order() {
    let node = Harness::start().await;
    let init = json!([
        { "name": "first", "image": "web:1", "command": ["exit", "0"] },
        { "name": "side", "image": "web:1", "restartPolicy": "Always" },
        { "name": "last", "image": "web:1", "command": ["exit", "0"] },
    ]);
    node.put_pod(
        "p",
        json!({ "initContainers": init, "containers": [{ "name": "main", "image": "web:1" }] }),
    );
    let pod = node.pod_until("p", ready).await;
    let statuses = pod["status"]["initContainerStatuses"].as_array().expect("statuses");
    assert!(statuses[0]["state"]["terminated"].is_object() && statuses[2]["state"]["terminated"].is_object());
    assert!(statuses[1]["state"]["running"].is_object() && statuses[1]["started"] == true);
    let order = |name: &str| node.runtime.container(name).expect(name).created_at;
    assert!(order("first") < order("side") && order("side") < order("last") && order("last") < order("main"));
    node.stop().await;
}

#[tokio::test]
async fn containers_outlive_the_agent_and_are_found_again() {
    let node = Harness::start().await;
    node.put_pod("p", web());
    node.put_pod("orphan", web());
    node.pod_until("p", ready).await;
    node.pod_until("orphan", ready).await;
    let (api, runtime, _dir) = node.stop().await;
    let before = runtime.calls().iter().filter(|call| *call == "StartContainer").count();
    api.remove("pods", "shop", "orphan");

    let node = Harness::start_with(api, runtime, |_| {}).await;
    let one_left = async {
        while node.runtime.sandbox_ids().len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), one_left).await.expect("the orphan is cleared away");
    let pod = node.pod_until("p", ready).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let after = node.runtime.calls().iter().filter(|call| *call == "StartContainer").count();
    assert_eq!(before, after, "nothing was started anew");
    node.stop().await;
}

#[tokio::test]
async fn hooks_run_after_the_start_and_before_the_stop() {
    let node = Harness::start().await;
    node.runtime.set_exec(&["greet"], 3, "no");
    let hook = |command: &str| json!({ "exec": { "command": [command] } });
    let broken = json!({ "name": "c", "image": "web:1", "lifecycle": { "postStart": hook("greet") } });
    node.put_pod("broken", json!({ "containers": [broken], "terminationGracePeriodSeconds": 1 }));
    let message = node.event("FailedPostStartHook").await;
    assert_eq!(message, "PostStartHook failed: command 'greet' exited with 3: no");

    node.runtime.set_exec(&["leave"], 4, "wait");
    let leaving = json!({ "name": "l", "image": "web:1", "lifecycle": { "preStop": hook("leave") } });
    node.put_pod("leaving", json!({ "containers": [leaving] }));
    node.pod_until("leaving", ready).await;
    delete(&node, "leaving", 5).await;
    assert_eq!(
        node.event("FailedPreStopHook").await,
        "PreStopHook failed: command 'leave' exited with 4: wait"
    );
    node.gone("leaving").await;
    node.stop().await;
}

#[tokio::test]
async fn an_ephemeral_container_joins_a_running_pod() {
    let node = Harness::start().await;
    node.put_pod("p", web());
    node.pod_until("p", ready).await;
    let mut spec = web();
    spec["ephemeralContainers"] =
        json!([{ "name": "debug", "image": "web:1", "targetContainerName": "web" }]);
    node.put_pod("p", spec);
    let running =
        |pod: &Value| pod["status"]["ephemeralContainerStatuses"][0]["state"]["running"].is_object();
    node.pod_until("p", running).await;
    let config = node.runtime.container_config("debug").expect("a container");
    let options =
        config.linux.and_then(|linux| linux.security_context?.namespace_options).expect("namespaces");
    assert_eq!(options.pid, i32::from(oarlock_cri::v1::NamespaceMode::Target));
    assert_eq!(options.target_id, node.runtime.container("web").expect("web").id);
    node.stop().await;
}

#[tokio::test]
async fn a_pod_past_its_deadline_fails() {
    let node = Harness::start().await;
    let mut spec = web();
    spec["activeDeadlineSeconds"] = json!(1);
    spec["terminationGracePeriodSeconds"] = json!(1);
    node.put_pod("p", spec);
    let pod = node.pod_until("p", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    node.stop().await;
}

#[tokio::test]
async fn a_lost_sandbox_is_made_anew() {
    let node = Harness::start().await;
    node.put_pod("p", web());
    node.pod_until("p", ready).await;
    let lost = node.runtime.sandbox_ids().pop().expect("a sandbox");
    node.runtime.lose_sandbox(&lost);
    node.event("SandboxChanged").await;
    node.pod_until("p", |pod| ready(pod) && pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_does_not_fit_fails() {
    let node = Harness::start().await;
    let container = json!({ "name": "c", "image": "web:1", "resources": { "requests": { "cpu": "9999" } } });
    node.put_pod("big", json!({ "containers": [container] }));
    let pod = node.pod_until("big", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_is_gone_takes_no_room() {
    let node = Harness::start_with(FakeApi::new(), FakeRuntime::new(), |config| config.max_pods = 1).await;
    node.put_pod("old", web());
    node.pod_until("old", ready).await;
    // It lingers: its end is tried again only after a while.
    node.runtime.fail_next("StopContainer", oarlock_cri::Status::unavailable("busy"));
    node.api.remove("pods", "shop", "old");
    node.put_pod("new", web());
    let pod = node.pod_until("new", |pod| ready(pod) || pod["status"]["phase"] == "Failed").await;
    assert!(ready(&pod), "{pod:#}");
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_others_called_unready_is_ready_again() {
    let node = Harness::start().await;
    node.put_pod("p", web());
    let mut pod = node.pod_until("p", ready).await;
    // As the node's controller does while the node is silent.
    let conditions = pod["status"]["conditions"].as_array_mut().expect("conditions");
    conditions.iter_mut().filter(|c| c["type"] == "Ready").for_each(|c| c["status"] = json!("False"));
    node.api.put(pod);
    assert!(!ready(&node.api.get("pods", "shop", "p").expect("a pod")));
    node.pod_until("p", ready).await;
    node.stop().await;
}

#[tokio::test]
async fn one_start_is_few_writes() {
    let node = Harness::start().await;
    node.put_pod("p", web());
    node.pod_until("p", ready).await;
    let writes = node.api.writes();
    let statuses = writes.iter().filter(|write| write.path.ends_with("/pods/p/status")).count();
    assert!(statuses <= 3, "{statuses} status writes for one start");
    node.stop().await;
}

#[tokio::test]
async fn a_static_pod_runs_and_is_mirrored() {
    let manifests = tempfile::tempdir().expect("a directory");
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: st\n  namespace: shop\nspec:\n  containers:\n  - name: c\n    image: web:1\n";
    std::fs::write(manifests.path().join("st.yaml"), manifest).expect("written");
    let path = manifests.path().to_owned();
    let node =
        Harness::start_with(FakeApi::new(), FakeRuntime::new(), |config| config.static_pod_path = Some(path))
            .await;
    let pod = node.pod_until("st-node-1", ready).await;
    assert!(pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string());
    std::fs::remove_file(manifests.path().join("st.yaml")).expect("removed");
    node.gone("st-node-1").await;
    node.stop().await;
}
