//! `--runtime-config`: versions turned on and off, as clients see them.

mod common;

use std::sync::Arc;

use common::fixtures::{NAMESPACE, fixture, name_of};
use common::{TestServer, start_with};
use http::Method;
use oarlock_api::Table;
use oarlock_apiserver::RuntimeConfig;
use oarlock_store::MemoryStore;
use serde_json::{Value, json};

async fn start(flags: &str) -> TestServer {
    let config = RuntimeConfig::parse(&[flags.to_string()]).expect("valid");
    start_with(Arc::new(MemoryStore::new()), |server, _| server.runtime_config = config).await
}

#[tokio::test]
async fn all_that_is_off_by_default_can_be_turned_on() {
    let server = start("api/all=true").await;
    let namespace = json!({ "metadata": { "name": NAMESPACE } });
    assert_eq!(server.ask(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    let (_, openapi) = server.get("/openapi/v3").await;
    let mut made = 0;
    for api in Table::builtin().resources().iter().filter(|api| !api.served_by_default) {
        let what = format!("{} {}", api.api_version(), api.plural);
        let root = format!("/apis/{}", api.api_version());
        assert!(openapi["paths"][&root[1..]].is_object(), "{what} is described");
        assert_eq!(server.get(&format!("{root}/{}", api.plural)).await.0, 200, "{what}");
        let service = format!("/apis/apiregistration.k8s.io/v1/apiservices/{}.{}", api.version, api.group);
        assert_eq!(server.get(&service).await.0, 200, "{what} is registered");
        let Some(object) = fixture(api.group, api.version, api.plural, api.kind) else { continue };
        let place = if api.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
        let path = format!("{root}{place}/{}", api.plural);
        let (code, answer) = server.ask(Method::POST, &path, object).await;
        assert_eq!(code, 201, "{what}: {answer}");
        assert_eq!(answer["apiVersion"], api.api_version(), "{what}");
        let one = format!("{path}/{}", name_of(api.plural));
        assert_eq!(server.get(&one).await.1["kind"], api.kind, "{what}");
        let (code, answer) = server.ask(Method::DELETE, &one, Value::Null).await;
        assert!(code == 200 || code == 202, "{what}: {answer}");
        made += 1;
    }
    assert!(made >= 10, "{made}");
    server.stop().await;
}

#[tokio::test]
async fn an_old_version_is_another_view_of_the_same_object() {
    let server = start("resource.k8s.io/v1beta1=true").await;
    let (_, group) = server.get("/apis/resource.k8s.io").await;
    let versions: Vec<&str> = group["versions"]
        .as_array()
        .expect("versions")
        .iter()
        .filter_map(|version| version["version"].as_str())
        .collect();
    assert_eq!((versions, &group["preferredVersion"]["version"]), (vec!["v1", "v1beta1"], &json!("v1")));
    let claim = json!({ "metadata": { "name": "c" }, "spec": { "devices": { "requests": [
        { "name": "r", "deviceClassName": "k.example.com" },
    ] } } });
    let path = |version: &str| format!("/apis/resource.k8s.io/{version}/namespaces/default/resourceclaims");
    let headers = [("content-type", "application/json")];
    let body = claim.to_string().into_bytes();
    let answer = server.raw(Method::POST, &path("v1beta1"), &headers, body).await;
    assert_eq!(answer.status(), 201, "{}", String::from_utf8_lossy(answer.body()));
    assert_eq!(
        answer.headers()["warning"],
        "299 - \"resource.k8s.io/v1beta1 ResourceClaim is deprecated in v1.35+, unavailable in v1.38+\""
    );
    let (_, new) = server.get(&format!("{}/c", path("v1"))).await;
    assert_eq!(new["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"], "k.example.com", "{new}");
    let (_, old) = server.get(&format!("{}/c", path("v1beta1"))).await;
    assert_eq!(old["spec"]["devices"]["requests"][0]["deviceClassName"], "k.example.com", "{old}");
    assert_eq!(server.get(&path("v1beta2")).await.0, 404, "it was not turned on");
    server.stop().await;
}

#[tokio::test]
async fn what_is_turned_off_is_gone_for_clients_and_the_server_goes_on() {
    let server = start("batch/v1/cronjobs=false,policy/v1=false,flowcontrol.apiserver.k8s.io/v1=false").await;
    let (_, batch) = server.get("/apis/batch/v1").await;
    let names: Vec<&str> = batch["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    assert_eq!(names, ["jobs", "jobs/status"]);
    let gone = [
        "/apis/batch/v1/cronjobs",
        "/apis/policy",
        "/apis/policy/v1/poddisruptionbudgets",
        "/apis/apiregistration.k8s.io/v1/apiservices/v1.policy",
    ];
    for path in gone {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    let (_, openapi) = server.get("/openapi/v3").await;
    assert!(openapi["paths"]["apis/policy/v1"].is_null() && openapi["paths"]["apis/batch/v1"].is_object());
    assert_eq!(server.get("/readyz").await.0, 200);
    server.stop().await;
}
