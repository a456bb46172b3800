use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, from_value, json};

fn node(conditions: Value, spec: Value) -> Node {
    from_value(json!({"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": conditions}}))
        .expect("a node")
}

#[test]
fn taints_follow_conditions() {
    let shown = |node: &Node, evict: bool| match plan::taints(node, evict, Timestamp::UNIX_EPOCH) {
        None => "same".to_string(),
        Some(taints) => {
            let short = |key: &str| key.trim_start_matches("node.kubernetes.io/").to_string();
            let taints = taints.iter().map(|taint| format!("{}:{}", short(&taint.key), taint.effect));
            taints.collect::<Vec<_>>().join(" ")
        }
    };
    let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
    let tainted = json!({"taints": [
        {"key": "mine", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
    ]});
    for (why, node, evict, expected) in [
        ("healthy", node(ready("True"), json!({})), true, "same"),
        ("not ready", node(ready("False"), json!({})), true, "not-ready:NoSchedule not-ready:NoExecute"),
        ("not ready, not its turn", node(ready("False"), json!({})), false, "not-ready:NoSchedule"),
        (
            "unreachable",
            node(ready("Unknown"), tainted.clone()),
            true,
            "mine:NoSchedule unreachable:NoSchedule unreachable:NoExecute",
        ),
        ("well again", node(ready("True"), tainted.clone()), true, "mine:NoSchedule"),
        ("just registered", node(json!([]), tainted), false, "mine:NoSchedule not-ready:NoSchedule"),
        ("cordoned", node(ready("True"), json!({"unschedulable": true})), true, "unschedulable:NoSchedule"),
        (
            "full disk",
            node(json!([{"type": "DiskPressure", "status": "True"}]), json!({})),
            true,
            "disk-pressure:NoSchedule",
        ),
    ] {
        assert_eq!(shown(&node, evict), expected, "{why}");
    }
}

#[test]
fn a_silent_node_is_no_longer_believed() {
    let told = |node: &Node| {
        let list = plan::silenced(node, Timestamp::UNIX_EPOCH)?;
        Some(
            list.iter()
                .map(|c| format!("{} {} {}", c.type_, c.status, c.reason.as_deref().unwrap_or_default()))
                .collect::<Vec<_>>(),
        )
    };
    let list = told(&node(json!([{"type": "Ready", "status": "True"}]), json!({}))).expect("changes");
    assert_eq!(list[0], "Ready Unknown NodeStatusUnknown");
    assert_eq!(list[1], "MemoryPressure Unknown NodeStatusNeverUpdated");
    let unknown = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
        .map(|kind| json!({"type": kind, "status": "Unknown"}));
    assert_eq!(told(&node(json!(unknown), json!({}))), None);
}

#[test]
fn zones_are_evicted_from_with_care() {
    let settings = NodeLifecycleConfig::default();
    for (ready, not_ready, all_down, expected) in [
        (5, 1, false, Some(10)),
        (0, 3, false, Some(10)),
        (0, 3, true, None),
        (2, 3, false, None),
        (20, 40, false, Some(100)),
    ] {
        let zone = Zone { name: String::new(), ready, not_ready, all_down };
        assert_eq!(
            plan::eviction_period(&zone, &settings).map(|period| period.as_secs()),
            expected,
            "{zone:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_loses_its_pods_and_comes_back() {
    let api = FakeApi::new();
    let alive = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]},
        })
    };
    let lease = |name: &str, second: u64| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"namespace": "kube-node-lease", "name": name},
            "spec": {"renewTime": format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60, second % 60)},
        })
    };
    for name in ["dead", "live"] {
        api.put(alive(name));
        api.put(lease(name, 0));
    }
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "p"}, "spec": {"nodeName": "dead", "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }));
    let world = World::start(api.clone(), NodeLifecycleController::register).await;
    let start = Instant::now();
    let renewals = async {
        for second in (10..300).step_by(10) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            api.put(lease("live", second));
        }
    };
    let ready = |api: &FakeApi, name: &str| {
        api.get("nodes", "", name).expect("exists")["status"]["conditions"][0]["status"].clone()
    };
    let story = async {
        api.until(|api| (ready(api, "dead") == "Unknown").then_some(())).await;
        assert_eq!(start.elapsed().as_secs(), 50);
        let tainted = api
            .until(|api| {
                api.get("nodes", "", "dead")
                    .filter(|node| node["spec"]["taints"].as_array().is_some_and(|list| list.len() == 2))
            })
            .await;
        assert_eq!(tainted["spec"]["taints"][1]["effect"], "NoExecute");
        api.until(|api| {
            (api.get("pods", "default", "p")?["status"]["conditions"][0]["status"] == "False").then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(ready(&api, "live"), "True");
        let mut back = api.get("nodes", "", "dead").expect("exists");
        back["status"]["conditions"][0]["status"] = json!("True");
        api.put(back);
        api.until(|api| api.get("nodes", "", "dead").filter(|node| node["spec"]["taints"] == json!([])))
            .await;
    };
    tokio::join!(renewals, story);
    world.end().await;
}
