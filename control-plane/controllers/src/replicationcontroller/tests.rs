use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn controller(replicas: i32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "replicas": replicas, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

fn pods(api: &FakeApi, count: usize) -> Option<Vec<Value>> {
    Some(api.list("pods")).filter(|pods| pods.len() == count)
}

fn stored(api: &FakeApi) -> Value {
    api.get("replicationcontrollers", "default", "web").expect("exists")
}

#[tokio::test]
async fn makes_adopts_and_releases_its_pods() {
    let api = FakeApi::new();
    let owner = api.put(controller(2));
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": "orphan", "labels": {"app": "web"}},
        "spec": {"containers": [], "nodeName": "n"},
    }));
    let world = World::start(api.clone(), ReplicationManager::register).await;
    let made = api.until(|api| pods(api, 2)).await;
    for pod in &made {
        let reference = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(reference["uid"], owner["metadata"]["uid"]);
        assert_eq!(reference["kind"], "ReplicationController");
        assert_eq!(reference["blockOwnerDeletion"], true);
    }
    api.until(|_| Some(()).filter(|()| stored(&api)["status"]["replicas"] == 2)).await;
    assert!(stored(&api)["status"]["terminatingReplicas"].is_null(), "the kind has no such field");

    let mut orphan = api.get("pods", "default", "orphan").expect("exists");
    orphan["metadata"]["labels"] = json!({"app": "other"});
    api.put(orphan);
    api.until(|api| pods(api, 3)).await;
    let orphan = api.get("pods", "default", "orphan").expect("exists");
    assert_eq!(orphan["metadata"]["ownerReferences"], json!([]));

    let mut fewer = stored(&api);
    fewer["spec"]["replicas"] = json!(0);
    api.put(fewer);
    api.until(|api| pods(api, 1)).await;
    let event = api
        .until(|api| api.list("events").into_iter().find(|event| event["reason"] == "SuccessfulDelete"))
        .await;
    assert_eq!(event["source"]["component"], "replication-controller");
    world.end().await;
}

#[tokio::test]
async fn a_failure_is_a_condition_until_a_look_succeeds() {
    let api = FakeApi::new();
    api.put(controller(1));
    api.fail_next("POST", "/pods", 403, "Forbidden");
    let world = World::start(api.clone(), ReplicationManager::register).await;
    let settled = |api: &FakeApi| {
        stored(api)["status"]["replicas"] == 1 && stored(api)["status"]["conditions"].is_null()
    };
    api.until(|api| settled(api).then_some(())).await;
    let statuses = api.writes().into_iter().filter(|write| write.path.ends_with("/web/status"));
    let conditions: Vec<Value> =
        statuses.map(|write| write.body["status"]["conditions"][0].clone()).collect();
    assert_eq!(conditions[0]["type"], "ReplicaFailure");
    assert_eq!(conditions[0]["reason"], "FailedCreate");
    assert_eq!(conditions[0]["message"], "injected by a test");
    world.end().await;
}
