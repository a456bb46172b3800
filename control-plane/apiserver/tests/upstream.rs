//! What was found by setting this server beside kube-apiserver 1.36: each case is an answer, or a stored byte, of the
//! real one.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{TestServer, start, start_with};
use http::Method;
use oarlock_apiserver::StorageMediaType;
use oarlock_store::{MemoryStore, Op, Txn};
use serde_json::{Value, json};
use std::sync::Arc;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A server that keeps objects as one on etcd does.
async fn on_shared_bytes() -> TestServer {
    start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.storage_media_type = StorageMediaType::Protobuf
    })
    .await
}

async fn stored(server: &TestServer, key: &str) -> Vec<u8> {
    let (kv, _) = server.store.get(key.as_bytes(), None).await.expect("the store answers");
    kv.expect("the key is there").value.to_vec()
}

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "string"}}}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
            }],
        },
    })
}

#[tokio::test]
async fn definitions_are_kept_in_the_version_that_upstream_keeps() {
    let server = on_shared_bytes().await;
    let (code, made) = server.ask(Method::POST, DEFINITIONS, definition()).await;
    assert_eq!(code, 201, "{made}");
    let kept =
        stored(&server, "/registry/apiextensions.k8s.io/customresourcedefinitions/boats.example.com").await;
    let kept: Value = serde_json::from_slice(&kept).expect("definitions are JSON");
    assert_eq!(kept["apiVersion"], "apiextensions.k8s.io/v1beta1");
    assert_eq!(kept["spec"]["version"], "v1");
    assert_eq!(kept["spec"]["additionalPrinterColumns"][0]["JSONPath"], ".spec.a");
    assert!(
        kept["spec"]["validation"]["openAPIV3Schema"].is_object()
            && kept["spec"]["versions"][0]["schema"].is_null()
    );
    let (_, read) = server.get(&format!("{DEFINITIONS}/boats.example.com")).await;
    assert_eq!(read["apiVersion"], "apiextensions.k8s.io/v1");
    assert_eq!(read["spec"]["versions"], made["spec"]["versions"]);
    // As written by another server.
    let mut foreign = kept.clone();
    let text =
        foreign.to_string().replace("boats", "ships").replace("Boat", "Ship").replace("\"boat\"", "\"ship\"");
    foreign = serde_json::from_str(&text).expect("still JSON");
    let key = "/registry/apiextensions.k8s.io/customresourcedefinitions/ships.example.com";
    let ops = vec![Op::Put { key: key.into(), value: foreign.to_string().into(), lease: None }];
    server.store.transact(Txn { guards: vec![], ops }).await.expect("the store takes it");
    let path = format!("{DEFINITIONS}/ships.example.com");
    let (code, read) = server.get(&path).await;
    assert_eq!((code, &read["spec"]["versions"]), (200, &made["spec"]["versions"]));
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let patched =
        server.ask_with(Method::PATCH, &path, &[("content-type", MERGE)], label.to_string().into()).await;
    assert_eq!(patched.0, 200, "{}", patched.1);
    server.stop().await;
}

#[tokio::test]
async fn what_a_decoder_fills_in_is_owned_and_told() {
    let server = on_shared_bytes().await;
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"},
        "spec": {"selector": selector, "template": template},
    });
    const GENERATION: &str = "/metadata/annotations/deprecated.daemonset.template.generation";
    let sets = "/apis/apps/v1/namespaces/default/daemonsets";
    let (_, made) = server.ask(Method::POST, sets, set).await;
    assert_eq!(made.pointer(GENERATION), Some(&json!("1")), "{made}");
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "j"}]);
    let json_patch = [("content-type", "application/json-patch+json")];
    let path = format!("{sets}/d");
    let (_, changed) = server.ask_with(Method::PATCH, &path, &json_patch, image.to_string().into()).await;
    assert_eq!(changed.pointer(GENERATION), Some(&json!("2")), "{changed}");

    let stateful = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
        "spec": {
            "selector": selector, "template": template, "serviceName": "s",
            "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    });
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let (_, made) = server.ask(Method::POST, sets, stateful.clone()).await;
    let claim = &made["spec"]["volumeClaimTemplates"][0];
    assert_eq!(
        (&claim["kind"], &claim["apiVersion"]),
        (&json!("PersistentVolumeClaim"), &json!("v1")),
        "{made}"
    );
    assert_eq!(
        made["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    );
    for (pointer, bad, field) in [
        ("/spec/serviceName", json!("Bad"), "spec.serviceName"),
        ("/spec/template/spec/containers/0/image", json!(""), "spec.template.spec.containers[0].image"),
        (
            "/spec/volumeClaimTemplates/0/spec/accessModes",
            json!([]),
            "spec.volumeClaimTemplates[0].spec.accessModes",
        ),
        ("/spec/volumeClaimTemplates/0/metadata/name", json!("B"), "spec.template.spec.volumes[0].name"),
    ] {
        let mut wrong = stateful.clone();
        *wrong.pointer_mut(pointer).expect("the field is there") = bad;
        let (code, told) = server.ask(Method::POST, sets, wrong).await;
        assert_eq!((code, &told["details"]["causes"][0]["field"]), (422, &json!(field)), "{told}");
    }

    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
    let (_, made) = server.ask(Method::POST, "/api/v1/namespaces/default/secrets", secret).await;
    assert_eq!(made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]["f:a"], json!({}), "{made}");
    assert_eq!(made["data"]["a"], STANDARD.encode("b"));
    server.stop().await;
}

/// Method, path, headers, body; code, and what the message begins with.
type Case<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

/// A server with a ConfigMap `c`.
async fn with_map() -> TestServer {
    let server = start().await;
    let (code, _) = server.ask(Method::POST, CONFIG_MAPS, map()).await;
    assert_eq!(code, 201);
    server
}

fn map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
}

async fn check(server: &TestServer, cases: &[Case<'_>]) {
    for (method, tail, headers, body, code, message) in cases {
        let path = format!("{CONFIG_MAPS}{tail}");
        let (got, told) = server.ask_with(method.clone(), &path, headers, body.as_bytes().to_vec()).await;
        let said = told["message"].as_str().unwrap_or_default();
        assert!(got == *code && said.starts_with(message), "{method} {path} {body}: {got} {told}");
    }
}

#[tokio::test]
async fn reads_are_refused_in_upstreams_words() {
    let server = with_map().await;
    let (get, delete) = (Method::GET, Method::DELETE);
    let html = [("accept", "text/html")];
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let number = "strconv.ParseInt: parsing \"x\": invalid syntax";
    let routed = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                  application/vnd.kubernetes.protobuf, application/json;stream=watch";
    let revision = "resourceVersion: Invalid value: \"x\": strconv.ParseUint";
    let cases: &[Case<'_>] = &[
        (get.clone(), "?limit=x", &[], "", 400, number),
        (get.clone(), "?watch=1&timeoutSeconds=x", &[], "", 400, number),
        (delete.clone(), "/c?gracePeriodSeconds=x", &[], "", 400, number),
        (get.clone(), "?resourceVersion=x", &[], "", 400, &format!("invalid resource version: {revision}")),
        (get.clone(), "/c?resourceVersion=x", &[], "", 500, revision),
        (get.clone(), "/c?export=true", &[], "", 400, "the export parameter, deprecated since v1.14"),
        (get.clone(), "", &html, "", 406, routed),
        (get.clone(), "?watch=1", &html, "", 406, routed),
        (get.clone(), "/c?includeObject=Odd", &table, "", 400, "Unable to convert to Table as requested"),
        (get.clone(), "/c/status", &[], "", 404, "the server could not find the requested resource"),
    ];
    check(&server, cases).await;
    // A time below zero is no time.
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/c?timeout=-1s")).await.0, 200);
    for path in ["/nope", "/apis/nope", "/apis/nope/v1", "/apis/nope/v1/things", "/logs"] {
        let response = server.raw(Method::GET, path, &[], Vec::new()).await;
        let got = (response.status().as_u16(), &response.body()[..]);
        assert_eq!(got, (404, &b"404 page not found\n"[..]), "{path}");
    }
    assert_eq!(server.get("/apis/apps/v1/nope").await.1["kind"], "Status");
    server.stop().await;
}

#[tokio::test]
async fn options_of_writes_are_refused_in_upstreams_words() {
    let server = with_map().await;
    let (post, patch) = (Method::POST, Method::PATCH);
    let (json, merge, apply) =
        ([("content-type", "application/json")], [("content-type", MERGE)], [("content-type", APPLY)]);
    let body = map().to_string();
    let create = |why: &str| format!("CreateOptions.meta.k8s.io \"\" is invalid: {why}");
    let patched = |why: &str| format!("PatchOptions.meta.k8s.io \"\" is invalid: {why}");
    let none = create("dryRun: Unsupported value: [\"None\"]: supported values: \"All\"");
    let empty = create("dryRun: Unsupported value: [\"\"]");
    let odd = create("fieldManager: Invalid value: ");
    let both = patched(
        "[fieldManager: Required value: is required for apply patch, dryRun: Unsupported value: [\"None\"]",
    );
    let force = patched("force: Forbidden: may not be specified for non-apply patch");
    let cases: &[Case<'_>] = &[
        (post.clone(), "?dryRun=None", &json, &body, 422, &none),
        (post.clone(), "?dryRun=", &json, &body, 422, &empty),
        (post.clone(), "?fieldManager=a%01b", &json, &body, 422, &odd),
        (patch.clone(), "/c?dryRun=None", &apply, "{", 422, &both),
        (patch.clone(), "/c?force=true", &merge, "", 422, &force),
    ];
    check(&server, cases).await;
    server.stop().await;
}

#[tokio::test]
async fn patches_are_refused_in_upstreams_words() {
    let server = with_map().await;
    let of = |kind: &'static str| [("content-type", kind)];
    let (merge, apply, json) = (of(MERGE), of(APPLY), of("application/json-patch+json"));
    let strategic = of("application/strategic-merge-patch+json");
    let go = "json: cannot unmarshal";
    let yaml = format!("error decoding YAML: error unmarshaling JSON: while decoding JSON: {go} array");
    let list = format!("{go} array into Go value of type map[string]interface {{}}");
    let object = format!("error decoding patch: {go} object into Go value of type []handlers.jsonPatchOp");
    let uid = "ConfigMap \"c\" is invalid: metadata.uid: Invalid value: \"z\": field is immutable";
    let root = r#"[{"op":"replace","path":"","value":{}}]"#;
    let unnamed = "the name of the object (c based on URL) was undeterminable: name must be provided";
    for (headers, tail, body, code, message) in [
        (&merge, "", "", 400, "error decoding patch: unexpected end of JSON input"),
        (&json, "", "{}", 400, object.as_str()),
        (&strategic, "", "[]", 400, list.as_str()),
        (&apply, "?fieldManager=m", "[]", 400, yaml.as_str()),
        (&merge, "", r#"{"kind":"Pod"}"#, 422, " \"\" is invalid: patch: Invalid value:"),
        (&merge, "", r#"{"metadata":{"uid":"z"}}"#, 422, uid),
        (&json, "", root, 400, unnamed),
    ] {
        check(&server, &[(Method::PATCH, &format!("/c{tail}"), headers, body, code, message)]).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn names_of_what_is_going_are_not_free() {
    let server = start().await;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["a/b"]}});
    server.ask(Method::POST, CONFIG_MAPS, map.clone()).await;
    let again = "configmaps \"c\" already exists";
    assert_eq!(server.ask(Method::POST, CONFIG_MAPS, map.clone()).await.1["message"], again);
    server.ask_with(Method::DELETE, &format!("{CONFIG_MAPS}/c"), &[], Vec::new()).await;
    for path in [CONFIG_MAPS.to_string(), format!("{CONFIG_MAPS}?dryRun=All")] {
        let (code, told) = server.ask(Method::POST, &path, map.clone()).await;
        assert_eq!(
            (code, told["message"].as_str()),
            (409, Some(&*format!("object is being deleted: {again}")))
        );
    }
    server.stop().await;
}

/// Tokens are upstream's, so a list begun at one server can be gone on with at the other.
#[tokio::test]
async fn pages_go_on_where_upstreams_end() {
    let server = start().await;
    for name in ["a", "b", "c"] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"p": "q"}}});
        server.ask(Method::POST, CONFIG_MAPS, map).await;
    }
    for (path, start) in [(CONFIG_MAPS, "/a\0"), ("/api/v1/configmaps", "/default/a\0")] {
        let page = |tail: &str| format!("{path}?labelSelector=p%3Dq{tail}");
        let (_, first) = server.get(&page("&limit=1")).await;
        let token = first["metadata"]["continue"].as_str().expect("there is more");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).expect("base 64");
        let said: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(said["start"], start);
        let (_, rest) = server.get(&page(&format!("&continue={token}"))).await;
        let names: Vec<&Value> =
            rest["items"].as_array().expect("a list").iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(names, ["b", "c"], "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn discovery_and_documents_are_upstreams() {
    let server = start().await;
    let (_, core) = server.get("/api/v1").await;
    let pods =
        core["resources"].as_array().expect("a list").iter().find(|r| r["name"] == "pods").expect("pods");
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=");
    let (_, versions) = server.get("/api").await;
    assert_eq!(versions["serverAddressByClientCIDRs"][0]["clientCIDR"], "0.0.0.0/0");
    let aggregated = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let response = server.raw(Method::GET, "/apis", &aggregated, Vec::new()).await;
    assert_eq!(response.headers()["cache-control"], "public");
    let groups: Value = serde_json::from_slice(response.body()).expect("JSON");
    let apps = groups["items"].as_array().expect("a list").iter().find(|g| g["metadata"]["name"] == "apps");
    let kind = &apps.expect("apps")["versions"][0]["resources"][0]["responseKind"];
    assert_eq!((&kind["group"], &kind["version"]), (&json!(""), &json!("")), "{kind}");

    let (_, document) = server.get("/openapi/v3/api/v1").await;
    let property = |kind: &str, field: &str| {
        document["components"]["schemas"][format!("io.k8s.api.core.v1.{kind}")]["properties"][field].clone()
    };
    // Open sets are not listed, closed ones are.
    for (kind, field, closed) in [
        ("Secret", "type", false),
        ("PodCondition", "type", false),
        ("PodReadinessGate", "conditionType", false),
        ("EmptyDirVolumeSource", "medium", false),
        ("Container", "imagePullPolicy", true),
        ("ContainerPort", "protocol", true),
    ] {
        assert_eq!(property(kind, field)["enum"].is_array(), closed, "{kind}.{field}");
    }
    assert_eq!(property("Container", "command")["items"], json!({"type": "string"}));
    assert!(property("PodCondition", "lastTransitionTime").get("default").is_none());
    assert!(!document.to_string().contains("cbor"));
    server.stop().await;
}

/// Found by running other people's programs side by side on a kube-apiserver and on this server.
#[tokio::test]
async fn answers_that_clients_print_are_upstreams() {
    let server = start().await;
    let named = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "Bad_" } });
    let (code, refused) = server.ask(Method::POST, "/api/v1/namespaces", named).await;
    let fields: Vec<&Value> = refused["details"]["causes"]
        .as_array()
        .expect("causes")
        .iter()
        .map(|cause| &cause["field"])
        .collect();
    assert_eq!(
        (code, fields),
        (422, vec![&json!("metadata.name"), &json!("metadata.labels")]),
        "the name goes first"
    );

    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "robot" } });
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(server.ask(Method::POST, accounts, account).await.0, 201);
    let short = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 10 } });
    let (code, refused) = server.ask(Method::POST, &format!("{accounts}/robot/token"), short).await;
    let why = "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 10: may not \
               specify a duration less than 10 minutes";
    assert_eq!((code, &refused["message"]), (422, &json!(why)));

    let pods = json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } });
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" }, "spec": { "template": pods } });
    let (code, job) = server.ask(Method::POST, "/apis/batch/v1/namespaces/default/jobs", job).await;
    assert_eq!(code, 201, "{job}");
    let labels = &job["metadata"]["labels"];
    assert_eq!(labels["batch.kubernetes.io/job-name"], "j");
    assert_eq!(
        *labels, job["spec"]["template"]["metadata"]["labels"],
        "what is given to its pods is shown on it"
    );
    server.stop().await;
}
