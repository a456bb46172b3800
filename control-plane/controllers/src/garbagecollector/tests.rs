use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn map(name: &str, owners: &[&Value]) -> Value {
    let owners: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true})
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": name, "ownerReferences": owners}})
}

fn is_gone(api: &FakeApi, name: &str) -> Option<()> {
    api.get("configmaps", "a", name).is_none().then_some(())
}

#[tokio::test]
async fn what_lost_its_owners_goes_with_its_own_dependents() {
    let api = FakeApi::new();
    let owner = api.put(map("owner", &[]));
    let other = api.put(map("other", &[]));
    let child = api.put(map("child", &[&owner]));
    api.put(map("grandchild", &[&child]));
    api.put(map("shared", &[&owner, &other]));
    let ghost = json!({"metadata": {"name": "ghost", "uid": "never-was"}});
    api.put(map("haunted", &[&ghost]));
    let world = World::start(api.clone(), GarbageCollector::register).await;
    api.until(|api| is_gone(api, "haunted")).await;
    assert_eq!(api.list("configmaps").len(), 5);
    api.remove("configmaps", "a", "owner");
    api.until(|api| is_gone(api, "child").and(is_gone(api, "grandchild"))).await;
    let shared = api
        .until(|api| {
            api.get("configmaps", "a", "shared")
                .filter(|it| it["metadata"]["ownerReferences"].as_array().is_some_and(|list| list.len() == 1))
        })
        .await;
    assert_eq!(shared["metadata"]["ownerReferences"][0]["name"], "other");
    world.end().await;
}

#[tokio::test]
async fn a_foreground_deletion_waits_for_the_dependents() {
    let api = FakeApi::new();
    let owner = api.put(map("owner", &[]));
    let mut held = map("held", &[&owner]);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.put(held);
    api.put(map("free", &[&owner]));
    let world = World::start(api.clone(), GarbageCollector::register).await;
    let mut deleting = api.get("configmaps", "a", "owner").expect("exists");
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    deleting["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    api.put(deleting);
    api.until(|api| is_gone(api, "free")).await;
    let held = api
        .until(|api| {
            api.get("configmaps", "a", "held").filter(|it| !it["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    assert!(api.get("configmaps", "a", "owner").is_some(), "the held one blocks it");
    api.remove("configmaps", "a", held["metadata"]["name"].as_str().expect("has a name"));
    api.until(|api| is_gone(api, "owner")).await;
    world.end().await;
}

#[tokio::test]
async fn orphans_stay_without_their_owner() {
    let api = FakeApi::new();
    let owner = api.put(map("owner", &[]));
    api.put(map("child", &[&owner]));
    let world = World::start(api.clone(), GarbageCollector::register).await;
    let mut deleting = api.get("configmaps", "a", "owner").expect("exists");
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    deleting["metadata"]["finalizers"] = json!(["orphan"]);
    api.put(deleting);
    api.until(|api| is_gone(api, "owner")).await;
    let child = api.get("configmaps", "a", "child").expect("stays");
    assert_eq!(child["metadata"]["ownerReferences"], json!([]));
    world.end().await;
}
