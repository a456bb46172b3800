//! Lists, watches, shapes and formats, discovery; and a client in the same process.

mod common;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use oarlock_api::Table;
use oarlock_api::codec::protobuf;
use serde_json::{Value, json};

use common::{TestServer, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn make(server: &TestServer, name: &str, label: &str) -> Value {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": label}}, "data": {"k": "v"},
    });
    let (code, made) = server.ask(Method::POST, MAPS, object).await;
    assert_eq!(code, 201, "{made}");
    made
}

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

#[tokio::test]
async fn lists_select_and_come_in_pages_of_one_revision() {
    let server = start().await;
    for (index, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        make(&server, name, if index % 2 == 0 { "even" } else { "odd" }).await;
    }
    let (_, odd) = server.get(&format!("{MAPS}?labelSelector=l%3Dodd")).await;
    assert_eq!(names(&odd), ["b", "d"]);
    let (_, one) = server.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dc")).await;
    assert_eq!(names(&one), ["c"]);
    let (code, _) = server.get(&format!("{MAPS}?labelSelector=a%3D%3D%3Db")).await;
    assert_eq!(code, 400);

    let (_, page) = server.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(3)));
    make(&server, "bb", "late").await;
    let token = page["metadata"]["continue"].as_str().expect("there is more");
    let (code, rest) = server.get(&format!("{MAPS}?limit=10&continue={token}")).await;
    assert_eq!((code, names(&rest)), (200, vec!["c", "d", "e"]), "pages come from one revision");
    assert_eq!(rest["metadata"]["resourceVersion"], page["metadata"]["resourceVersion"]);
    let revision = page["metadata"]["resourceVersion"].as_str().expect("a revision");
    let (_, exact) =
        server.get(&format!("{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!(names(&exact), ["a", "b", "c", "d", "e"]);
    let (code, bad) = server.get(&format!("{MAPS}?continue=nonsense")).await;
    assert_eq!((code, bad["reason"].as_str()), (400, Some("BadRequest")));
    server.stop().await;
}

/// A list says the kind of its items once, in every format, also where it comes from the store; parts say their own.
#[tokio::test]
async fn items_of_a_list_leave_their_kind_to_it() {
    let server = start().await;
    make(&server, "a", "x").await;
    let second = make(&server, "b", "x").await;
    let revision = second["metadata"]["resourceVersion"].as_str().expect("a revision").to_string();
    let exact = format!("{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact");
    let parts = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let of = |kind: &str, version: &str| (json!(kind), json!(version));
    for (path, accept, list, item) in [
        (MAPS, "application/json", of("ConfigMapList", "v1"), (Value::Null, Value::Null)),
        (&exact, "application/json", of("ConfigMapList", "v1"), (Value::Null, Value::Null)),
        (
            &format!("{MAPS}?pretty=true"),
            "application/json",
            of("ConfigMapList", "v1"),
            (Value::Null, Value::Null),
        ),
        (
            MAPS,
            parts,
            of("PartialObjectMetadataList", "meta.k8s.io/v1"),
            of("PartialObjectMetadata", "meta.k8s.io/v1"),
        ),
    ] {
        let (code, got) = server.ask_with(Method::GET, path, &[("accept", accept)], Vec::new()).await;
        assert_eq!((code, names(&got)), (200, vec!["a", "b"]), "{path} {got}");
        let said = |object: &Value| (object["kind"].clone(), object["apiVersion"].clone());
        assert_eq!((said(&got), said(&got["items"][0])), (list, item), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn watches_start_resume_and_expire() {
    let server = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin.clone(), "default");
    let first = make(&server, "a", "x").await;
    let revision = first["metadata"]["resourceVersion"].as_str().expect("a revision");
    let mut watch =
        maps.watch(&WatchParams::default().labels("l=x"), revision).await.expect("a watch").boxed();
    make(&server, "b", "x").await;
    make(&server, "c", "y").await;
    let mut leaving = make(&server, "d", "x").await;
    leaving["metadata"]["labels"]["l"] = "y".into();
    assert_eq!(server.ask(Method::PUT, &format!("{MAPS}/d"), leaving).await.0, 200);
    server.ask(Method::DELETE, &format!("{MAPS}/b"), json!({})).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = watch.try_next().await.expect("an event").expect("the watch goes on");
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            other => panic!("{other:?}"),
        };
        seen.push(format!("{kind} {}", object.metadata.name.expect("a name")));
    }
    assert_eq!(seen, ["ADDED b", "ADDED d", "DELETED d", "DELETED b"]);
    // A server that has just started knows no changes from before.
    let store = server.store.clone();
    drop(watch);
    server.stop().await;
    let server = common::start_on(store).await;
    let (code, event) = server.get(&format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let status = &event["object"];
    assert_eq!(
        (code, &event["type"], &status["reason"]),
        (200, &json!("ERROR"), &json!("Expired")),
        "{event}"
    );
    assert!(status["message"].as_str().is_some_and(|m| m.starts_with("too old resource version: 1 (")));
    server.stop().await;
}

#[tokio::test]
async fn a_streaming_list_ends_with_a_marked_bookmark() {
    let server = start().await;
    make(&server, "a", "x").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let response = server
        .raw(
            Method::GET,
            &format!("{MAPS}?{query}&labelSelector=l%3Dx"),
            &[("accept", "application/json")],
            vec![],
        )
        .await;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a frame")).collect();
    assert_eq!(events[0]["type"], "ADDED");
    assert_eq!(events[1]["type"], "BOOKMARK");
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    server.stop().await;
}

#[tokio::test]
async fn tables_metadata_and_protobuf_are_served() {
    let server = start().await;
    make(&server, "a", "x").await;
    let get = |path: String, accept: &'static str| {
        let server = &server;
        async move { server.raw(Method::GET, &path, &[("accept", accept)], vec![]).await }
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let response = get(format!("{MAPS}?labelSelector=l%3Dx"), table).await;
    let value: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(
        (value["kind"].as_str(), value["rows"].as_array().map(Vec::len)),
        (Some("Table"), Some(1)),
        "{value}"
    );
    assert_eq!(value["rows"][0]["cells"][0], "a");
    assert_eq!(value["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let response = get(format!("{MAPS}?labelSelector=l%3Dx"), partial).await;
    let value: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(
        (value["kind"].as_str(), value["items"][0].get("data")),
        (Some("PartialObjectMetadataList"), None)
    );

    let protobuf_type = "application/vnd.kubernetes.protobuf";
    let response = get(format!("{MAPS}/a"), protobuf_type).await;
    assert_eq!(response.headers()["content-type"], protobuf_type);
    let (_, object) = protobuf::decode_object(Table::builtin(), response.body()).expect("an object");
    assert_eq!(object["data"]["k"], "v");
    let response = get(format!("{MAPS}?labelSelector=l%3Dx"), protobuf_type).await;
    let (_, list) = protobuf::decode_object(Table::builtin(), response.body()).expect("a list");
    assert_eq!(names(&list), ["a"]);
    let sent =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"x": "y"}});
    let body = protobuf::encode_object(Table::builtin(), &sent).expect("bytes");
    let (code, made) = server.ask_with(Method::POST, MAPS, &[("content-type", protobuf_type)], body).await;
    assert_eq!((code, &made["data"]["x"]), (201, &json!("y")), "{made}");
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yam\n".to_vec();
    let (code, made) =
        server.ask_with(Method::POST, MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(code, 201, "{made}");
    server.stop().await;
}

#[tokio::test]
async fn discovery_tells_what_is_served() {
    let server = start().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let response = server.raw(Method::GET, "/apis", &[("accept", aggregated)], vec![]).await;
    let etag = response.headers()["etag"].to_str().expect("text").to_string();
    let value: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(value["kind"], "APIGroupDiscoveryList");
    let headers = [("accept", aggregated), ("if-none-match", etag.as_str())];
    assert_eq!(server.raw(Method::GET, "/apis", &headers, vec![]).await.status(), 304);
    let (_, groups) = server.get("/apis").await;
    assert_eq!(groups["kind"], "APIGroupList");
    let (_, list) = server.get("/apis/apps/v1").await;
    assert!(list["resources"].as_array().is_some_and(|r| r.iter().any(|r| r["name"] == "deployments/scale")));
    let (_, version) = server.get("/version").await;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    for path in ["/openapi/v3", "/openapi/v3/apis/apps/v1", "/openapi/v2", "/openid/v1/jwks", "/"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    let (code, metrics) = server.get("/metrics").await;
    assert!(code == 200 && metrics.as_str().is_some_and(|m| m.contains("apiserver_request_total")));
    server.stop().await;
}

#[tokio::test]
async fn a_component_in_the_process_uses_the_same_chain() {
    let server = start().await;
    let services: Api<Service> = Api::namespaced(server.admin.clone(), "default");
    let kubernetes = services.get("kubernetes").await.expect("it was created at start");
    assert_eq!(kubernetes.spec.expect("a spec").cluster_ip.as_deref(), Some("10.96.0.1"));
    let maps: Api<ConfigMap> = Api::namespaced(server.admin.clone(), "default");
    let mut map = ConfigMap::default();
    map.metadata.name = Some("in-process".into());
    maps.create(&PostParams::default(), &map).await.expect("it is allowed");
    assert_eq!(maps.list(&ListParams::default()).await.expect("a list").items.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_finds_everything_again() {
    let server = start().await;
    make(&server, "a", "x").await;
    let store = server.store.clone();
    server.stop().await;
    let server = common::start_on(store).await;
    assert_eq!(server.get(&format!("{MAPS}/a")).await.0, 200);
    let _: Bytes = server.raw(Method::GET, "/healthz", &[], vec![]).await.into_body();
    server.stop().await;
}
