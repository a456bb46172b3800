//! Another API server behind an APIService: found, checked, proxied to, and told of in discovery and OpenAPI.

mod common;

use std::sync::Arc;

use common::{TestServer, eventually, start, start_with};
use http::Method;
use oarlock_apiserver::{CertificateFiles, RequestHeaderConfig, RuntimeConfig};
use oarlock_apiserver_webhook::testing::{Answer, TestServer as Remote};
use oarlock_pki::{Authority, Profile};
use oarlock_store::MemoryStore;
use serde_json::{Value, json};

/// The server of `wardle.example.com/v1`.
async fn wardle() -> Remote {
    Remote::start(&["api.wardle.svc"], |request| match request.path.split('?').next().unwrap_or_default() {
        "/apis/wardle.example.com/v1" => Answer::json(&json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1",
            "resources": [{
                "name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"],
            }],
        })),
        "/openapi/v2" => Answer::json(&json!({
            "swagger": "2.0", "paths": { "/apis/wardle.example.com/v1/": {} }, "definitions": { "io.wardle.Flunder": {} },
        })),
        "/apis/wardle.example.com/v1/namespaces/default/flunders/one" => {
            let header = |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            Answer::json(&json!({
                "kind": "Flunder", "user": header("x-remote-user"), "group": header("x-remote-group"),
                "authorization": header("authorization"),
            }))
        }
        _ => Answer::text(404, "not here"),
    })
    .await
}

async fn register(server: &TestServer, remote: &Remote) {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "wardle" } });
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "api" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces/wardle/services", service).await.0, 201);
    let (code, created) = server
        .ask(
            Method::POST,
            "/apis/apiregistration.k8s.io/v1/apiservices",
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": { "name": "v1.wardle.example.com" },
                "spec": {
                    "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
                    "caBundle": remote.ca_bundle(),
                    "service": { "namespace": "wardle", "name": "api", "port": remote.address.port() },
                },
            }),
        )
        .await;
    assert_eq!(code, 201, "{created}");
}

/// Waits until the APIService says that it is, or is not, available.
async fn availability(server: &TestServer, want: &str) -> Value {
    let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.wardle.example.com";
    eventually(&format!("Available={want}"), async || {
        let (_, service) = server.get(path).await;
        let condition = service["status"]["conditions"][0].clone();
        (condition["status"] == want).then_some(condition)
    })
    .await
}

#[tokio::test]
async fn another_server_answers_for_its_group() {
    let server = start().await;
    let remote = wardle().await;
    register(&server, &remote).await;
    assert_eq!(availability(&server, "True").await["reason"], "Passed");

    let (code, flunder) = server.get("/apis/wardle.example.com/v1/namespaces/default/flunders/one").await;
    assert_eq!((code, &flunder["user"]), (200, &json!("admin")), "{flunder}");
    assert_eq!(flunder["group"], "system:masters");
    assert_eq!(flunder["authorization"], "");
    assert_eq!(server.get("/apis/wardle.example.com/v1/namespaces/default/flunders/two").await.0, 404);

    let (_, group) = server.get("/apis/wardle.example.com").await;
    assert_eq!(group["preferredVersion"]["groupVersion"], "wardle.example.com/v1", "{group}");
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let (_, all) = server.ask_with(Method::GET, "/apis", &accept, Vec::new()).await;
    let groups = all["items"].as_array().expect("groups");
    let ours = groups.iter().find(|g| g["metadata"]["name"] == "wardle.example.com").expect("it is listed");
    assert_eq!(ours["versions"][0]["resources"][0]["resource"], "flunders");
    assert_eq!(ours["versions"][0]["freshness"], "Current");
    let (_, openapi) = server.get("/openapi/v2").await;
    assert!(openapi["definitions"].get("io.wardle.Flunder").is_some());
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = start().await;
    let remote = wardle().await;
    register(&server, &remote).await;
    availability(&server, "True").await;
    let service = "/api/v1/namespaces/wardle/services/api";
    assert_eq!(server.ask(Method::DELETE, service, Value::Null).await.0, 200);
    let condition = availability(&server, "False").await;
    assert_eq!(condition["reason"], "ServiceNotFound");
    assert_eq!(condition["message"], "service/api in \"wardle\" is not present");
    let (code, _) = server.get("/apis/wardle.example.com/v1/namespaces/default/flunders/one").await;
    assert_eq!(code, 503);
    let (_, local) = server.get("/apis/apiregistration.k8s.io/v1/apiservices/v1.apps").await;
    assert_eq!(local["status"]["conditions"][0]["reason"], "Local");
    server.stop().await;
}

/// A server that serves `flunders` and believes front proxies of this authority.
async fn flunders(proxies: &Authority) -> TestServer {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.authentication.request_header = Some(RequestHeaderConfig {
            client_ca_pem: proxies.cert_pem().to_string(),
            allowed_names: vec!["front".into()],
            username_headers: vec!["X-Remote-User".into()],
            uid_headers: vec![],
            group_headers: vec!["X-Remote-Group".into()],
            extra_headers_prefixes: vec!["X-Remote-Extra-".into()],
        });
    })
    .await;
    define_flunders(&server).await;
    server
}

/// A definition of the group that an APIService may name another server for.
async fn define_flunders(server: &TestServer) {
    let definition = json!({
        "metadata": { "name": "flunders.wardle.example.com" },
        "spec": {
            "group": "wardle.example.com", "scope": "Namespaced",
            "names": { "plural": "flunders", "singular": "flunder", "kind": "Flunder" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.ask(Method::POST, path, definition).await.0, 201);
}

#[tokio::test]
async fn the_certificate_of_the_proxy_is_followed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name);
    let authority = |name: &str| {
        let (cert, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        Authority::load_or_create(&cert, &key, name).expect("an authority")
    };
    let (old, new) = (authority("old"), authority("new"));
    let files = CertificateFiles { cert: path("p.crt"), key: path("p.key") };
    let show = |by: &Authority| {
        let identity = by.issue(&Profile::client("front", "")).expect("an identity");
        std::fs::write(&files.cert, &identity.cert_pem).expect("written");
        std::fs::write(&files.key, &identity.key_pem).expect("written");
        identity
    };
    let behind = flunders(&new).await;
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.front_proxy.identity = Some(show(&old));
        config.running.proxy_client = Some(files.clone());
    })
    .await;
    let namespace = json!({ "metadata": { "name": "wardle" } });
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    let service = json!({ "metadata": { "name": "api" }, "spec": { "type": "ExternalName", "externalName": "localhost" } });
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces/wardle/services", service).await.0, 201);
    let registered = json!({
        "metadata": { "name": "v1.wardle.example.com" },
        "spec": {
            "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
            "insecureSkipTLSVerify": true,
            "service": { "namespace": "wardle", "name": "api", "port": behind.address.port() },
        },
    });
    let apiservices = "/apis/apiregistration.k8s.io/v1/apiservices";
    assert_eq!(server.ask(Method::POST, apiservices, registered).await.0, 201);
    let asked = async || server.get("/apis/wardle.example.com/v1/namespaces/default/flunders").await.0;
    assert_eq!(availability(&server, "False").await["reason"], "FailedDiscoveryCheck");
    assert_eq!(asked().await, 503);
    show(&new);
    availability(&server, "True").await;
    assert_eq!(asked().await, 200);
    server.stop().await;
    behind.stop().await;
}

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

async fn restarted(server: TestServer, store: &Arc<MemoryStore>, flags: &str) -> TestServer {
    server.stop().await;
    start_with(store.clone(), |config, _| {
        config.runtime_config = RuntimeConfig::parse(&[flags.into()]).expect("valid");
    })
    .await
}

#[tokio::test]
async fn apiservices_of_this_server_are_kept_as_their_label_says() {
    const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
    let store = Arc::new(MemoryStore::new());
    let server = start_with(store.clone(), |_, _| {}).await;
    let service = |group: &str, label: Value| {
        json!({
            "metadata": { "name": format!("v1.{group}"), "labels": { LABEL: label } },
            "spec": { "group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100 },
        })
    };
    let priority = async |server: &TestServer, name: &str| {
        let (code, service) = server.get(&format!("{SERVICES}/{name}")).await;
        if code == 200 { service["spec"]["versionPriority"].clone() } else { json!(code) }
    };
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = async |server: &TestServer, name: &str, patch: Value| {
        let path = format!("{SERVICES}/{name}");
        assert_eq!(server.ask_with(Method::PATCH, &path, &merge, patch.to_string().into()).await.0, 200);
    };
    // Nothing stands behind one that is kept always: it goes at once. Of the others the server looks at the next start.
    for (group, label) in [("gone.test", "true"), ("old.test", "onstart"), ("mine.test", "other")] {
        assert_eq!(server.ask(Method::POST, SERVICES, service(group, json!(label))).await.0, 201);
    }
    eventually("it is taken away", async || {
        (priority(&server, "v1.gone.test").await == json!(404)).then_some(())
    })
    .await;
    for (name, labels) in [("v1.apps", json!({})), ("v1.policy", json!({ LABEL: null }))] {
        let change = json!({ "metadata": { "labels": labels }, "spec": { "versionPriority": 3 } });
        patch(&server, name, change).await;
    }
    assert_eq!(priority(&server, "v1.old.test").await, json!(100));
    assert_eq!(priority(&server, "v1.apps").await, json!(3));

    let server = restarted(server, &store, "batch/v1=false").await;
    for (name, want) in [
        ("v1.old.test", json!(404)),
        ("v1.batch", json!(404)),
        ("v1.mine.test", json!(100)),
        ("v1.apps", json!(15)),
        ("v1.policy", json!(3)),
        ("v1.", json!(1)),
    ] {
        assert_eq!(priority(&server, name).await, want, "{name}");
    }
    let server = restarted(server, &store, "").await;
    assert_eq!(priority(&server, "v1.batch").await, json!(15), "it is served again");

    // Of a definition: made, put right, and made again.
    define_flunders(&server).await;
    let is_kept = async || {
        eventually("it is as it should be", async || {
            (priority(&server, "v1.wardle.example.com").await == json!(100)).then_some(())
        })
        .await;
    };
    is_kept().await;
    patch(&server, "v1.wardle.example.com", json!({ "spec": { "versionPriority": 3 } })).await;
    is_kept().await;
    let gone = server.ask(Method::DELETE, &format!("{SERVICES}/v1.wardle.example.com"), Value::Null).await;
    assert_eq!(gone.0, 200);
    is_kept().await;
    server.stop().await;
}
