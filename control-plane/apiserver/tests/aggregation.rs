//! Another API server behind an APIService: found, checked, proxied to, and told of in discovery and OpenAPI.

mod common;

use common::{TestServer, eventually, start};
use http::Method;
use oarlock_apiserver_webhook::testing::{Answer, TestServer as Remote};
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
