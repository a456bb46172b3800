use super::*;
use crate::testing::World;
use k8s_openapi::api::apps::v1::ReplicaSet;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn set(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

fn pods(api: &FakeApi, count: usize) -> Option<Vec<Value>> {
    Some(api.list("pods")).filter(|pods| pods.len() == count)
}

#[tokio::test]
async fn makes_deletes_and_reports_its_pods() {
    let api = FakeApi::new();
    let stored = api.put(set(3));
    let world = World::start(api.clone(), ReplicaSetController::<ReplicaSet>::register).await;
    let made = api.until(|api| pods(api, 3)).await;
    assert_eq!(made[0]["metadata"]["ownerReferences"][0]["uid"], stored["metadata"]["uid"]);
    assert!(made[0]["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("web-")));
    api.until(|api| api.get("replicasets", "default", "web").filter(|set| set["status"]["replicas"] == 3))
        .await;

    let mut fewer = api.get("replicasets", "default", "web").expect("exists");
    fewer["spec"]["replicas"] = json!(1);
    api.put(fewer);
    api.until(|api| pods(api, 1)).await;
    let set = api
        .until(|api| api.get("replicasets", "default", "web").filter(|set| set["status"]["replicas"] == 1))
        .await;
    assert_eq!(set["status"]["fullyLabeledReplicas"], 1);
    api.until(|api| {
        let reasons: Vec<_> = api.list("events").iter().map(|event| event["reason"].clone()).collect();
        (reasons.contains(&json!("SuccessfulCreate")) && reasons.contains(&json!("SuccessfulDelete")))
            .then_some(())
    })
    .await;
    world.end().await;
}

#[tokio::test]
async fn adopts_orphans_and_releases_what_no_longer_matches() {
    let api = FakeApi::new();
    api.put(set(1));
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": "orphan", "labels": {"app": "web"}},
        "spec": {"containers": [], "nodeName": "n"},
    }));
    let world = World::start(api.clone(), ReplicaSetController::<ReplicaSet>::register).await;
    let owned = |api: &FakeApi, name: &str| {
        let pod = api.get("pods", "default", name)?;
        Some(pod["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty()))
    };
    api.until(|api| owned(api, "orphan").filter(|owned| *owned)).await;
    assert_eq!(api.list("pods").len(), 1);
    let mut pod = api.get("pods", "default", "orphan").expect("exists");
    pod["metadata"]["labels"] = json!({"app": "other"});
    api.put(pod);
    api.until(|api| owned(api, "orphan").filter(|owned| !*owned)).await;
    api.until(|api| pods(api, 2)).await;
    world.end().await;
}

#[tokio::test]
async fn a_refused_pod_is_a_condition_and_an_event() {
    let api = FakeApi::new();
    api.put(set(2));
    for _ in 0..2 {
        api.fail_next("POST", "/pods", 403, "Forbidden");
    }
    let world = World::start(api.clone(), ReplicaSetController::<ReplicaSet>::register).await;
    let event =
        api.until(|api| api.list("events").into_iter().find(|event| event["reason"] == "FailedCreate")).await;
    assert_eq!(event["message"], "Error creating: injected by a test");
    api.until(|api| pods(api, 2)).await;
    world.end().await;
}
