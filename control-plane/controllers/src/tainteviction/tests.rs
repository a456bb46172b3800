use super::*;
use crate::testing::World;
use k8s_openapi::api::core::v1::{Taint, Toleration};
use oarlock_client::testing::FakeApi;
use serde_json::{Value, from_value, json};

#[test]
fn the_shortest_toleration_that_is_needed_counts() {
    let taint = |key: &str| json!({"key": key, "effect": "NoExecute"});
    let for_seconds = |key: &str, seconds: Value| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let second = |seconds| Stay::Until(Timestamp::from_second(seconds).expect("a time"));
    for (taints, tolerations, expected) in [
        (json!([]), json!([]), Stay::Forever),
        (json!([taint("a")]), json!([]), second(0)),
        (json!([taint("a")]), json!([for_seconds("a", json!(300))]), second(300)),
        (json!([taint("a")]), json!([for_seconds("a", Value::Null)]), Stay::Forever),
        (json!([taint("a"), taint("b")]), json!([for_seconds("a", json!(300))]), second(0)),
        (
            json!([taint("a"), taint("b")]),
            json!([for_seconds("a", json!(300)), for_seconds("b", json!(60))]),
            second(60),
        ),
        (json!([taint("a")]), json!([{"operator": "Exists"}]), Stay::Forever),
        (
            json!([{"key": "a", "value": "x", "effect": "NoExecute"}]),
            json!([{"key": "a", "value": "y"}]),
            second(0),
        ),
    ] {
        let taints: Vec<Taint> = from_value(taints).expect("taints");
        let tolerations: Vec<Toleration> = from_value(tolerations).expect("tolerations");
        assert_eq!(
            plan::stay(&taints, &tolerations, Timestamp::UNIX_EPOCH),
            expected,
            "{taints:?} {tolerations:?}"
        );
    }
}

#[tokio::test]
async fn a_pod_that_does_not_tolerate_goes_at_once() {
    let api = FakeApi::new();
    api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
    for (name, tolerations) in [("stays", json!([{"operator": "Exists"}])), ("goes", json!([]))] {
        api.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name},
            "spec": {"nodeName": "n", "containers": [], "tolerations": tolerations},
        }));
    }
    let world = World::start(api.clone(), TaintEvictionController::register).await;
    api.put(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]},
    }));
    let pod = api
        .until(|api| {
            api.get("pods", "default", "goes").filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    assert_eq!(pod["status"]["conditions"][0]["reason"], "DeletionByTaintManager");
    let event = api.until(|api| api.list("events").pop()).await;
    assert_eq!(event["reason"], "TaintManagerEviction");
    assert_eq!(event["message"], "Marking for deletion Pod default/goes");
    assert!(api.get("pods", "default", "stays").expect("stays")["metadata"]["deletionTimestamp"].is_null());
    world.end().await;
}
