use super::*;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_its_content_has_gone() {
    let api = FakeApi::new();
    api.put(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"},
    }));
    for (namespace, name) in [("shop", "a"), ("shop", "b"), ("other", "a")] {
        api.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}}));
    }
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "p"},
        "spec": {"nodeName": "n", "containers": []},
    }));
    let world = World::start(api.clone(), NamespaceController::register).await;
    let namespace = api
        .until(|api| {
            let namespace = api.get("namespaces", "", "shop").expect("waits for its pod");
            (!namespace["status"]["conditions"].is_null()).then_some(namespace)
        })
        .await;
    let remaining = &namespace["status"]["conditions"][3];
    assert_eq!(remaining["message"], "Some resources are remaining: pods. has 1 resource instances");
    assert_eq!(api.list("configmaps").len(), 3, "pods go before all else");
    api.remove("pods", "shop", "p");
    api.until(|api| api.get("namespaces", "", "shop").is_none().then_some(())).await;
    assert_eq!(api.list("configmaps").len(), 1);
    world.end().await;
}
