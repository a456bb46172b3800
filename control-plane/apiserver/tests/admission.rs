//! Admission through the whole server: quotas under a burst, the Pod Security Standards, limits, default classes.

mod common;

use http::Method;
use serde_json::{Value, json};

use common::{TestServer, start};

const DEFAULT: &str = "/api/v1/namespaces/default";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn made(server: &TestServer, path: &str, object: Value) -> Value {
    let (code, made) = server.ask(Method::POST, path, object).await;
    assert_eq!(code, 201, "{path}: {made}");
    made
}

/// A server whose `default` namespace has its service account; no controller makes it here.
async fn server() -> TestServer {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    made(&server, &format!("{DEFAULT}/serviceaccounts"), account).await;
    server
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    pod["spec"]["automountServiceAccountToken"] = false.into();
    if pod["spec"]["containers"].is_null() {
        pod["spec"]["containers"] = json!([{"name": "c", "image": "busybox"}]);
    }
    pod
}

#[tokio::test]
async fn a_quota_holds_under_a_burst() {
    let server = server().await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "5"}},
    });
    let mut quota = made(&server, &format!("{DEFAULT}/resourcequotas"), quota).await;
    let (code, refused) = server.ask(Method::POST, PODS, pod("early", json!({}))).await;
    assert_eq!(
        (code, refused["metadata"]["name"].clone()),
        (201, json!("early")),
        "nothing is limited yet: {refused}"
    );
    quota["status"] = json!({"hard": {"pods": "5"}, "used": {"pods": "1"}});
    let path = format!("{DEFAULT}/resourcequotas/few");
    let (code, status) = server.ask(Method::PUT, &format!("{path}/status"), quota).await;
    assert_eq!(code, 200, "{status}");
    let names: Vec<String> = (0..12).map(|i| format!("p{i}")).collect();
    let burst = names.iter().map(|name| server.ask(Method::POST, PODS, pod(name, json!({}))));
    let answers = futures::future::join_all(burst).await;
    let created = answers.iter().filter(|(code, _)| *code == 201).count();
    let refusals: Vec<&Value> =
        answers.iter().filter(|(code, _)| *code == 403).map(|(_, body)| body).collect();
    assert_eq!((created, refusals.len()), (4, 8), "{answers:?}");
    let message = refusals[0]["message"].as_str().unwrap_or_default();
    let why = "is forbidden: exceeded quota: few, requested: pods=1, used: pods=5, limited: pods=5";
    assert!(message.ends_with(why), "{message}");
    let (_, quota) = server.get(&path).await;
    assert_eq!(quota["status"]["used"], json!({"pods": "5"}));
    server.stop().await;
}

#[tokio::test]
async fn namespaces_keep_their_standard() {
    let server = server().await;
    made(&server, PODS, pod("old", json!({"hostPID": true}))).await;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    let headers = [("content-type", "application/merge-patch+json")];
    let patched = server.raw(Method::PATCH, DEFAULT, &headers, labels.to_string().into_bytes()).await;
    let warnings: Vec<&str> =
        patched.headers().get_all("warning").iter().filter_map(|value| value.to_str().ok()).collect();
    assert_eq!(patched.status(), 200);
    assert!(warnings.iter().any(|warning| warning.contains("old: host namespaces")), "{warnings:?}");
    let (code, refused) = server.ask(Method::POST, PODS, pod("new", json!({"hostPID": true}))).await;
    let why =
        "pods \"new\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!((code, &refused["message"]), (403, &json!(why)));
    made(&server, PODS, pod("plain", json!({}))).await;
    let bad = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "strict"}}});
    let (code, _) = server.ask_with(Method::PATCH, DEFAULT, &headers, bad.to_string().into_bytes()).await;
    assert_eq!(code, 422);
    server.stop().await;
}

#[tokio::test]
async fn limits_and_defaults_are_filled_in() {
    let server = server().await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}]},
    });
    made(&server, &format!("{DEFAULT}/limitranges"), range).await;
    let limited = made(&server, PODS, pod("limited", json!({}))).await;
    assert_eq!(limited["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "1"}));
    let greedy = json!({"containers": [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "3"}}}]});
    let (code, refused) = server.ask(Method::POST, PODS, pod("greedy", greedy)).await;
    let why = "pods \"greedy\" is forbidden: maximum cpu usage per Container is 2, but limit is 3";
    assert_eq!((code, &refused["message"]), (403, &json!(why)));
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "x",
        "metadata": {"name": "usual", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    });
    made(&server, "/apis/storage.k8s.io/v1/storageclasses", class).await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let claim = made(&server, &format!("{DEFAULT}/persistentvolumeclaims"), claim).await;
    assert_eq!(claim["spec"]["storageClassName"], "usual");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    server.stop().await;
}
