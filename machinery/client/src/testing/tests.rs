use super::*;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"n": name}}})).expect("is one")
}

#[tokio::test]
async fn objects_are_created_changed_and_deleted() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "a");
    let made = api.create(&PostParams::default(), &config_map("x")).await.expect("creates");
    assert!(made.metadata.uid.is_some() && made.metadata.namespace.as_deref() == Some("a"));
    let again = api.create(&PostParams::default(), &config_map("x")).await.expect_err("exists");
    assert!(crate::is_already_exists(&again));
    let patch = json!({"data": {"k": "v"}});
    let patched = api.patch("x", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("patches");
    assert_ne!(patched.metadata.resource_version, made.metadata.resource_version);
    let stale = api.replace("x", &PostParams::default(), &made).await.expect_err("is stale");
    assert!(crate::is_conflict(&stale));
    assert_eq!(api.list(&ListParams::default().labels("n=x")).await.expect("lists").items.len(), 1);
    assert_eq!(api.list(&ListParams::default().labels("n=y")).await.expect("lists").items.len(), 0);
    api.delete("x", &DeleteParams::default()).await.expect("deletes");
    assert!(crate::is_not_found(&api.get("x").await.expect_err("is gone")));
}

#[tokio::test]
async fn a_watch_follows_a_selection_and_ends_when_it_expires() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::all(fake.client());
    let at =
        api.list(&ListParams::default()).await.expect("lists").metadata.resource_version.expect("has one");
    let events = api.watch(&WatchParams::default().labels("n=x"), &at).await.expect("watches");
    let mut events = std::pin::pin!(events);
    let object = |labels: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "x", "labels": labels}});
    fake.put(object(json!({})));
    fake.put(object(json!({"n": "x"})));
    fake.put(object(json!({"n": "x", "m": "y"})));
    fake.put(object(json!({"n": "z"})));
    let mut seen = vec![];
    for _ in 0..3 {
        seen.push(match events.try_next().await.expect("is open").expect("comes") {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            _ => "other",
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
    fake.expire_watches();
    assert!(events.try_next().await.expect("ends well").is_none());
    let old = api.watch(&WatchParams::default(), &at).await.err().expect("is too old");
    assert!(crate::is_gone(&old));
}

#[tokio::test]
async fn pods_on_nodes_and_finalizers_wait_and_namespaces_finalize() {
    let fake = FakeApi::new();
    let client = fake.client();
    fake.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p"}, "spec": {"nodeName": "n", "containers": []}}));
    let pods: Api<Pod> = Api::namespaced(client.clone(), "a");
    pods.delete("p", &DeleteParams::default()).await.expect("is marked");
    assert_eq!(fake.get("pods", "a", "p").expect("waits")["metadata"]["deletionGracePeriodSeconds"], 30);
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.expect("goes");
    assert_eq!(fake.get("pods", "a", "p"), None);

    fake.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}));
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete("a", &DeleteParams::default()).await.expect("is marked");
    let mut namespace = namespaces.get("a").await.expect("waits");
    namespace.spec = None;
    namespaces
        .replace_subresource("finalize", "a", &PostParams::default(), &namespace)
        .await
        .expect("finalizes");
    assert_eq!(fake.get("namespaces", "", "a"), None);
}

#[tokio::test]
async fn faults_are_answered_once() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "a");
    fake.fail_next("POST", "configmaps", 403, "NamespaceTerminating");
    let refused = api.create(&PostParams::default(), &config_map("x")).await.expect_err("is refused");
    assert!(crate::is_namespace_terminating(&refused));
    api.create(&PostParams::default(), &config_map("x")).await.expect("creates");
    assert_eq!(fake.writes().len(), 2);
}
