use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn quota(hard: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"namespace": "default", "name": "q"}, "spec": {"hard": hard},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
    })
}

async fn used(api: &FakeApi, expected: Value) -> Value {
    api.until(|api| {
        let quota = api.get("resourcequotas", "default", "q")?;
        (quota["status"]["used"] == expected).then_some(quota)
    })
    .await
}

fn watches(api: &FakeApi, plural: &str) -> usize {
    let path = format!("/{plural}");
    api.requests().iter().filter(|it| it.path.ends_with(&path) && it.query.contains("watch=")).count()
}

#[tokio::test]
async fn what_goes_or_ends_is_given_back() {
    let api = FakeApi::new();
    for name in ["a", "b", "c"] {
        api.put(pod(name));
    }
    let mut elsewhere = pod("d");
    elsewhere["metadata"]["namespace"] = json!("other");
    api.put(elsewhere);
    api.put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "default", "name": "web"}}));
    let world = World::start(api.clone(), ResourceQuotaController::register).await;
    assert_eq!(watches(&api, "pods"), 0, "no quota, no watch");

    let hard = json!({"pods": "5", "requests.cpu": "1", "count/pods": "9", "count/deployments.apps": "2", "count/nothing.example.com": "1"});
    api.put(quota(hard.clone()));
    let used_by = |pods: u32, cpu: &str, objects: u32, deployments: u32| {
        json!({
            "pods": pods.to_string(), "requests.cpu": cpu, "count/pods": objects.to_string(),
            "count/deployments.apps": deployments.to_string(),
        })
    };
    let stored = used(&api, used_by(3, "300m", 3, 1)).await;
    assert_eq!(stored["status"]["hard"], hard);
    assert_eq!(watches(&api, "services"), 0, "only what the quota counts");

    let mut ended = api.get("pods", "default", "a").expect("exists");
    ended["status"] = json!({"phase": "Succeeded"});
    api.put(ended);
    used(&api, used_by(2, "200m", 3, 1)).await;
    api.remove("pods", "default", "a");
    used(&api, used_by(2, "200m", 2, 1)).await;
    api.remove("deployments", "default", "web");
    used(&api, used_by(2, "200m", 2, 0)).await;
    api.remove("resourcequotas", "default", "q");
    api.put(quota(json!({"configmaps": "1"})));
    used(&api, json!({"configmaps": "0"})).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_quota_counts_is_not_watched() {
    let api = FakeApi::new();
    api.put(quota(json!({"pods": "5"})));
    let world = World::start(api.clone(), ResourceQuotaController::register).await;
    let mut other = used(&api, json!({"pods": "0"})).await;
    other["spec"]["hard"] = json!({"services": "5"});
    api.put(other);
    used(&api, json!({"services": "0"})).await;
    tokio::time::sleep(TRIM_AFTER * 2).await;
    let mut again = api.get("resourcequotas", "default", "q").expect("exists");
    let before = watches(&api, "pods");
    again["spec"]["hard"] = json!({"pods": "5"});
    api.put(again);
    used(&api, json!({"pods": "0"})).await;
    assert_eq!(watches(&api, "pods"), before + 1, "the first watch had ended");
    world.end().await;
}

#[tokio::test]
async fn a_quota_is_counted_within_its_scopes() {
    let api = FakeApi::new();
    api.put(pod("guaranteed"));
    let mut idle = pod("idle");
    idle["spec"]["containers"][0]["resources"] = json!({});
    api.put(idle);
    let mut scoped = quota(json!({"pods": "5"}));
    scoped["spec"]["scopes"] = json!(["BestEffort"]);
    api.put(scoped);
    let world = World::start(api.clone(), ResourceQuotaController::register).await;
    used(&api, json!({"pods": "1"})).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_others_write_is_counted_anew() {
    let api = FakeApi::new();
    api.put(pod("a"));
    api.put(quota(json!({"pods": "5"})));
    let world = World::start(api.clone(), ResourceQuotaController::register).await;
    let mut charged = used(&api, json!({"pods": "1"})).await;
    // A pod was charged, and then not made.
    charged["status"]["used"]["pods"] = json!("2");
    let before = tokio::time::Instant::now();
    api.put(charged);
    used(&api, json!({"pods": "1"})).await;
    assert!(before.elapsed() >= RECOUNT_AFTER);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_grace_has_passed_is_given_back_without_an_event() {
    let api = FakeApi::new();
    let mut stuck = pod("stuck");
    let soon = Timestamp::now() + jiff::SignedDuration::from_millis(200);
    stuck["metadata"]["deletionTimestamp"] = json!(soon.to_string());
    stuck["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    stuck["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.put(stuck);
    api.put(quota(json!({"pods": "5"})));
    let world = World::start(api.clone(), ResourceQuotaController::register).await;
    used(&api, json!({"pods": "1"})).await;
    // The wall clock is not paused: until it has gone on, each look asks for another.
    used(&api, json!({"pods": "0"})).await;
    world.end().await;
}
