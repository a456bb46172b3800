use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn budget(spec: Value) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": "default", "name": "b"}, "spec": spec,
    })
}

/// An owner of pods, which wants so many.
fn owner(api: &FakeApi, api_version: &str, kind: &str, replicas: u32) -> Value {
    api.put(json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"namespace": "default", "name": "web"},
        "spec": {"replicas": replicas, "selector": {}, "serviceName": "", "template": {}},
    }))
}

fn pod(api: &FakeApi, name: &str, owner: Option<&Value>) -> Value {
    let references: Vec<Value> = owner
        .into_iter()
        .map(|owner| {
            json!({
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "controller": true,
            })
        })
        .collect();
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": "web"}, "ownerReferences": references},
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]},
    }))
}

/// Waits for (expected, desired, current, allowed, reason).
async fn status(api: &FakeApi, expected: (i64, i64, i64, i64, &str)) -> Value {
    api.until(|api| {
        let status = api.get("poddisruptionbudgets", "default", "b")?["status"].clone();
        let number = |field: &str| status[field].as_i64().unwrap_or(-1);
        let told = (
            number("expectedPods"),
            number("desiredHealthy"),
            number("currentHealthy"),
            number("disruptionsAllowed"),
            status["conditions"][0]["reason"].as_str().unwrap_or_default(),
        );
        (told == expected).then(|| status.clone())
    })
    .await
}

async fn event(api: &FakeApi, reason: &str) -> String {
    let found = api.until(|api| api.list("events").into_iter().find(|event| event["reason"] == reason)).await;
    assert_eq!(found["source"]["component"], "controllermanager");
    found["message"].as_str().unwrap_or_default().to_string()
}

#[tokio::test]
async fn a_number_of_the_pods_that_there_are() {
    let api = FakeApi::new();
    api.put(budget(json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}})));
    let world = World::start(api.clone(), DisruptionController::register).await;
    status(&api, (0, 1, 0, 0, "InsufficientPods")).await;
    assert_eq!(event(&api, "NoPods").await, "No matching pods found");
    pod(&api, "a", None);
    status(&api, (1, 1, 1, 0, "InsufficientPods")).await;
    let mut second = pod(&api, "b", None);
    status(&api, (2, 1, 2, 1, "SufficientPods")).await;
    second["status"]["conditions"][0]["status"] = json!("False");
    let mut second = api.put(second);
    status(&api, (2, 1, 1, 0, "InsufficientPods")).await;
    second["metadata"]["labels"] = json!({"app": "other"});
    api.put(second);
    status(&api, (1, 1, 1, 0, "InsufficientPods")).await;
    world.end().await;
}

#[tokio::test]
async fn a_share_of_what_the_owner_wants() {
    for (api_version, kind) in
        [("v1", "ReplicationController"), ("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet")]
    {
        let api = FakeApi::new();
        let owner = owner(&api, api_version, kind, 4);
        ["a", "b", "c"].into_iter().for_each(|name| drop(pod(&api, name, Some(&owner))));
        api.put(budget(json!({"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}})));
        let world = World::start(api.clone(), DisruptionController::register).await;
        status(&api, (4, 2, 3, 1, "SufficientPods")).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_replica_set_counts_for_its_deployment() {
    let api = FakeApi::new();
    let deployment = owner(&api, "apps/v1", "Deployment", 5);
    let mut set = owner(&api, "apps/v1", "ReplicaSet", 2);
    set["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": deployment["metadata"]["uid"], "controller": true,
    }]);
    let set = api.put(set);
    pod(&api, "a", Some(&set));
    api.put(budget(json!({"minAvailable": "50%", "selector": {}})));
    let world = World::start(api.clone(), DisruptionController::register).await;
    status(&api, (5, 3, 1, 0, "InsufficientPods")).await;
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_counted_lets_nothing_go() {
    let api = FakeApi::new();
    let job = owner(&api, "batch/v1", "Job", 4);
    pod(&api, "a", Some(&job));
    api.put(budget(json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}})));
    let world = World::start(api.clone(), DisruptionController::register).await;
    let why = "jobs.batch does not implement the scale subresource";
    let told = api
        .until(|api| {
            let status = api.get("poddisruptionbudgets", "default", "b")?["status"].clone();
            (status["conditions"][0]["reason"] == "SyncFailed").then_some(status)
        })
        .await;
    assert_eq!(told["conditions"][0]["message"], why);
    let message = event(&api, "CalculateExpectedPodCountFailed").await;
    assert_eq!(message, format!("Failed to calculate the number of expected pods: {why}"));
    world.end().await;
}

#[tokio::test]
async fn pods_without_owners_are_told_of() {
    let api = FakeApi::new();
    pod(&api, "a", None);
    api.put(budget(json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}})));
    let world = World::start(api.clone(), DisruptionController::register).await;
    status(&api, (0, 0, 1, 0, "InsufficientPods")).await;
    assert!(event(&api, "UnmanagedPods").await.starts_with(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{app: web,},\
         MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged."
    ));
    world.end().await;
}

#[tokio::test]
async fn an_eviction_is_held_against_the_budget_until_the_pod_goes() {
    let api = FakeApi::new();
    ["a", "b"].into_iter().for_each(|name| drop(pod(&api, name, None)));
    let mut evicted = budget(json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}));
    evicted["status"] = json!({
        "disruptedPods": {"a": Time(Timestamp::now()), "gone": Time(Timestamp::now())},
        "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": 0,
    });
    api.put(evicted);
    let world = World::start(api.clone(), DisruptionController::register).await;
    let told = status(&api, (2, 1, 1, 0, "InsufficientPods")).await;
    assert!(told["disruptedPods"]["a"].is_string() && told["disruptedPods"]["gone"].is_null());
    api.remove("pods", "default", "a");
    let told = status(&api, (1, 1, 1, 0, "InsufficientPods")).await;
    assert!(told["disruptedPods"].is_null());
    world.end().await;
}

#[tokio::test]
async fn a_stale_condition_is_cleared() {
    let api = FakeApi::new();
    let mut spared = pod(&api, "a", None);
    spared["status"]["conditions"] = json!([{
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    api.put(spared);
    let world = World::start(api.clone(), DisruptionController::register).await;
    let pod = api
        .until(|api| {
            api.get("pods", "default", "a").filter(|pod| pod["status"]["conditions"][0]["status"] == "False")
        })
        .await;
    assert!(pod["status"]["conditions"][0]["reason"].is_null());
    world.end().await;
}
