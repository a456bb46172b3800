//! Webhooks behind TLS, through the whole server: admission, and conversion between the versions of a definition.

mod common;

use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{TestServer, eventually, start, start_on};
use http::Method;
use oarlock_apiserver_webhook::testing::{Answer, Received, TestServer as Hook};
use oarlock_store::{MemoryStore, Store as _};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

fn map(name: &str, data: Value) -> Value {
    json!({ "metadata": { "name": name }, "data": data })
}

/// A webhook for ConfigMaps with what the case adds or changes.
fn webhook(name: &str, client_config: &Value, further: Value) -> Value {
    let mut webhook = json!({
        "name": name, "clientConfig": client_config, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"] }],
    });
    for (field, value) in further.as_object().into_iter().flatten() {
        webhook[field] = value.clone();
    }
    webhook
}

/// Registers it; it is in force when this returns.
async fn register(server: &TestServer, kind: &str, webhook: Value) {
    let name = webhook["name"].as_str().expect("a name").to_string();
    let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations");
    let configuration = json!({ "metadata": { "name": name }, "webhooks": [webhook] });
    let (code, made) = server.ask(Method::POST, &path, configuration).await;
    assert_eq!(code, 201, "{made}");
    let cached = format!("{path}/{name}?resourceVersion=0");
    eventually("it is known", async || (server.get(&cached).await.0 == 200).then_some(())).await;
}

async fn unregister(server: &TestServer, kind: &str, name: &str) {
    let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations/{name}");
    assert_eq!(server.ask_with(Method::DELETE, &path, &[], Vec::new()).await.0, 200);
    let cached = format!("{path}?resourceVersion=0");
    eventually("it is gone", async || (server.get(&cached).await.0 == 404).then_some(())).await;
}

fn verdict(received: &Received, response: Value) -> Answer {
    let mut response = response;
    response["uid"] = received.body["request"]["uid"].clone();
    Answer::json(
        &json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }),
    )
}

fn patch(operations: &Value) -> Value {
    json!({ "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string()) })
}

#[tokio::test]
async fn objects_are_changed_again_after_later_changes_and_then_judged() {
    let server = start().await;
    let add =
        |field: &str| patch(&json!([{ "op": "add", "path": format!("/data/{field}"), "value": "yes" }]));
    let hook = Hook::start(&[], move |received| {
        let data = &received.body["request"]["object"]["data"];
        let response = match received.path.split('?').next().unwrap_or_default() {
            // Told of what the second does, the first acts on it.
            "/first" if !data["second"].is_null() => add("again"),
            "/first" => add("first"),
            "/second" => add("second"),
            _ if data["bad"] == "plain" => json!({ "allowed": false }),
            _ if !data["bad"].is_null() => {
                json!({ "allowed": false, "status": { "code": 403, "message": "it is bad" } })
            }
            _ => json!({ "allowed": true, "warnings": ["mind the gap"], "auditAnnotations": { "k": "v" } }),
        };
        verdict(received, response)
    })
    .await;
    // What is deleted cannot be changed.
    let rules = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"],
    }]);
    let again = json!({ "rules": rules, "reinvocationPolicy": "IfNeeded" });
    register(&server, "mutating", webhook("first.example.com", &hook.client_config("/first"), again)).await;
    let once = json!({ "rules": rules });
    register(&server, "mutating", webhook("second.example.com", &hook.client_config("/second"), once)).await;
    register(&server, "validating", webhook("third.example.com", &hook.client_config("/third"), json!({})))
        .await;

    let response =
        server.raw(Method::POST, MAPS, &[], map("a", json!({ "k": "v" })).to_string().into()).await;
    let warning = response.headers().get("warning").and_then(|value| value.to_str().ok());
    assert_eq!((response.status().as_u16(), warning), (201, Some("299 - \"mind the gap\"")));
    let made: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(made["data"], json!({ "k": "v", "first": "yes", "second": "yes", "again": "yes" }));
    let paths: Vec<String> = hook.requests().into_iter().map(|received| received.path).collect();
    assert_eq!(
        paths,
        ["/first?timeout=10s", "/second?timeout=10s", "/first?timeout=10s", "/third?timeout=10s"]
    );
    let judged = hook.requests()[3].body["request"].clone();
    assert_eq!(judged["object"]["data"], made["data"], "judged as it is stored");
    assert_eq!(judged["userInfo"]["username"], "admin");
    assert_eq!((&judged["operation"], &judged["dryRun"]), (&json!("CREATE"), &json!(false)));

    for (bad, code, message) in [
        ("yes", 403, "admission webhook \"third.example.com\" denied the request: it is bad"),
        ("plain", 400, "admission webhook \"third.example.com\" denied the request without explanation"),
    ] {
        let refused = server.ask(Method::POST, MAPS, map("b", json!({ "bad": bad }))).await;
        assert_eq!((refused.0, &refused.1["message"]), (code, &json!(message)));
    }
    let dry = format!("{MAPS}?dryRun=All");
    assert_eq!(server.ask(Method::POST, &dry, map("dry", json!({ "k": "v" }))).await.0, 201);
    assert_eq!(hook.requests().last().expect("some").body["request"]["dryRun"], true);

    let data = json!({ "data": { "k": "w" } }).to_string();
    assert_eq!(server.ask_with(Method::PATCH, &format!("{MAPS}/a"), &MERGE, data.into()).await.0, 200);
    let changed = hook.requests().last().expect("some").body["request"].clone();
    assert_eq!(
        (&changed["oldObject"]["data"]["k"], &changed["object"]["data"]["k"]),
        (&json!("v"), &json!("w"))
    );
    assert_eq!(server.ask_with(Method::DELETE, &format!("{MAPS}/a"), &[], Vec::new()).await.0, 200);
    let deleted = hook.requests().last().expect("some").body["request"].clone();
    assert_eq!((&deleted["operation"], &deleted["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(
        (&deleted["oldObject"]["data"]["k"], &deleted["options"]["kind"]),
        (&json!("w"), &json!("DeleteOptions"))
    );
    server.stop().await;
}

#[tokio::test]
async fn webhooks_are_asked_only_about_what_they_chose() {
    let server = start().await;
    let hook = Hook::start(&[], |received| verdict(received, json!({ "allowed": false }))).await;
    let rule = |operation: &str, scope: &str| {
        json!({ "rules": [{
            "apiGroups": [""], "apiVersions": ["*"], "operations": [operation], "resources": ["configmaps"], "scope": scope,
        }] })
    };
    let condition =
        |expression: &str| json!({ "matchConditions": [{ "name": "c", "expression": expression }] });
    let namespaces = |name: &str| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } } });
    // What the webhook says, the object's label, whether it is asked (and refuses).
    let cases = [
        (json!({}), "", true),
        (json!({ "objectSelector": { "matchLabels": { "l": "yes" } } }), "yes", true),
        (json!({ "objectSelector": { "matchLabels": { "l": "yes" } } }), "no", false),
        (namespaces("default"), "", true),
        (namespaces("kube-system"), "", false),
        (condition("object.metadata.name.startsWith('probe')"), "", true),
        (condition("request.userInfo.username != 'admin'"), "", false),
        (condition("has(object.metadata.labels) && object.metadata.labels.l == 'yes'"), "yes", true),
        (rule("UPDATE", "*"), "", false),
        (rule("CREATE", "Namespaced"), "", true),
        (rule("CREATE", "Cluster"), "", false),
    ];
    for (further, label, asked) in cases {
        let told = format!("{further} of {label:?}");
        register(&server, "validating", webhook("only.example.com", &hook.client_config("/"), further)).await;
        let mut object = map("probe", json!({}));
        object["metadata"]["labels"] = json!({ "l": label });
        let before = hook.requests().len();
        let (code, answer) = server.ask(Method::POST, &format!("{MAPS}?dryRun=All"), object).await;
        let want = if asked { (400, 1) } else { (201, 0) };
        assert_eq!((code, hook.requests().len() - before), want, "{told}: {answer}");
        unregister(&server, "validating", "only.example.com").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_fatal_or_ignored() {
    let server = start().await;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).expect("a port").port();
    let hook = Hook::start(&[], |received| match received.path.split('?').next().unwrap_or_default() {
        "/slow" => Answer::never(),
        "/broken" => Answer::text(500, "no"),
        _ => Answer::json(&json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1" })),
    })
    .await;
    let dead = json!({ "url": format!("https://127.0.0.1:{port}/"), "caBundle": hook.ca_bundle() });
    let stranger = Hook::start(&[], |received| verdict(received, json!({ "allowed": true }))).await;
    let untrusted = json!({ "url": stranger.url("/"), "caBundle": hook.ca_bundle() });
    let cases = [
        (dead, "connect: connection refused"),
        (untrusted, "x509: certificate signed by unknown authority"),
        (hook.client_config("/slow"), "context deadline exceeded"),
        (
            hook.client_config("/broken"),
            "an error on the server (\"no\") has prevented the request from succeeding",
        ),
        (hook.client_config("/empty"), "webhook response was absent"),
    ];
    for (client_config, why) in &cases {
        for (policy, want) in [("Fail", 500), ("Ignore", 201)] {
            let further = json!({ "failurePolicy": policy, "timeoutSeconds": 1 });
            register(&server, "validating", webhook("failing.example.com", client_config, further)).await;
            let dry = format!("{MAPS}?dryRun=All");
            let (code, answer) = server.ask(Method::POST, &dry, map("m", json!({}))).await;
            assert_eq!(code, want, "{why}: {answer}");
            let message = answer["message"].as_str().unwrap_or_default();
            let start = "Internal error occurred: failed calling webhook \"failing.example.com\": ";
            assert!(want == 201 || (message.starts_with(start) && message.contains(why)), "{why}: {message}");
            unregister(&server, "validating", "failing.example.com").await;
        }
    }
    server.stop().await;
}

const FLEETS: &str = "/apis/sea.example.com/v1/namespaces/default/fleets";
const FLEETS_V2: &str = "/apis/sea.example.com/v2/namespaces/default/fleets";

/// `v1` counts oars, `v2` pairs of them.
fn converted(received: &Received) -> Answer {
    let request = &received.body["request"];
    let desired = request["desiredAPIVersion"].clone();
    let objects: Vec<Value> = request["objects"].as_array().into_iter().flatten().cloned().collect();
    let objects: Vec<Value> = objects
        .into_iter()
        .map(|mut object| {
            object["apiVersion"] = desired.clone();
            object["spec"] = match (object["spec"]["oars"].as_i64(), object["spec"]["pairs"].as_i64()) {
                (Some(oars), _) => json!({ "pairs": oars / 2 }),
                (_, Some(pairs)) => json!({ "oars": pairs * 2 }),
                _ => json!({}),
            };
            object
        })
        .collect();
    Answer::json(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": { "uid": request["uid"], "result": { "status": "Success" }, "convertedObjects": objects },
    }))
}

fn fleets(hook: &Hook) -> Value {
    let version = |name: &str, field: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v1",
            "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                "spec": { "type": "object", "properties": { field: { "type": "integer" } } },
            } } },
        })
    };
    json!({
        "metadata": { "name": "fleets.sea.example.com" },
        "spec": {
            "group": "sea.example.com", "scope": "Namespaced", "names": { "plural": "fleets", "kind": "Fleet" },
            "versions": [version("v1", "oars"), version("v2", "pairs")],
            "conversion": { "strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": hook.client_config("/convert"),
            } },
        },
    })
}

#[tokio::test]
async fn a_webhook_converts_between_versions() {
    let store = Arc::new(MemoryStore::new());
    let server = start_on(store.clone()).await;
    let hook = Hook::start(&[], converted).await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, made) = server.ask(Method::POST, definitions, fleets(&hook)).await;
    assert_eq!(code, 201, "{made}");
    eventually("served", async || (server.get(FLEETS_V2).await.0 == 200).then_some(())).await;

    let fleet = |name: &str, version: &str, spec: Value| json!({ "apiVersion": format!("sea.example.com/{version}"), "kind": "Fleet", "metadata": { "name": name }, "spec": spec });
    let (code, old) = server.ask(Method::POST, FLEETS, fleet("a", "v1", json!({ "oars": 8 }))).await;
    assert_eq!(code, 201, "{old}");
    assert_eq!(server.ask(Method::POST, FLEETS_V2, fleet("b", "v2", json!({ "pairs": 2 }))).await.0, 201);
    let stored = store.get(b"/registry/sea.example.com/fleets/default/b", None).await.expect("read").0;
    let stored: Value = serde_json::from_slice(&stored.expect("it is there").value).expect("JSON");
    assert_eq!(
        (&stored["apiVersion"], &stored["spec"]),
        (&json!("sea.example.com/v1"), &json!({ "oars": 4 }))
    );

    let (_, list) = server.get(FLEETS_V2).await;
    let items = list["items"].as_array().expect("items");
    let specs: Vec<&Value> = items.iter().map(|item| &item["spec"]).collect();
    assert_eq!(specs, [&json!({ "pairs": 4 }), &json!({ "pairs": 2 })], "{list}");
    assert!(items.iter().all(|item| item["apiVersion"] == "sea.example.com/v2"), "{list}");

    let pairs = json!({ "spec": { "pairs": 5 } }).to_string();
    let (code, patched) =
        server.ask_with(Method::PATCH, &format!("{FLEETS_V2}/a"), &MERGE, pairs.into()).await;
    assert_eq!((code, &patched["spec"]), (200, &json!({ "pairs": 5 })), "{patched}");
    assert_eq!(server.get(&format!("{FLEETS}/a")).await.1["spec"], json!({ "oars": 10 }));
    let apply = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{FLEETS_V2}/c?fieldManager=me");
    for (pairs, want) in [(3, 201), (4, 200)] {
        let body = fleet("c", "v2", json!({ "pairs": pairs })).to_string();
        let (code, applied) = server.ask_with(Method::PATCH, &path, &apply, body.into()).await;
        assert_eq!((code, &applied["spec"]["pairs"]), (want, &json!(pairs)), "{applied}");
        assert_eq!(applied["metadata"]["managedFields"][0]["apiVersion"], "sea.example.com/v2");
    }
    let since = &old["metadata"]["resourceVersion"];
    let watch =
        format!("{FLEETS_V2}?watch=true&timeoutSeconds=1&resourceVersion={}", since.as_str().expect("one"));
    let events = server.raw(Method::GET, &watch, &[], Vec::new()).await;
    let events = String::from_utf8_lossy(events.body()).into_owned();
    let seen: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an event"))
        .map(|event| {
            format!(
                "{} {} {}",
                event["type"], event["object"]["metadata"]["name"], event["object"]["spec"]["pairs"]
            )
        })
        .collect();
    let want = [r#""ADDED" "b" 2"#, r#""MODIFIED" "a" 5"#, r#""ADDED" "c" 3"#, r#""MODIFIED" "c" 4"#];
    assert_eq!(seen, want);

    drop(hook);
    let (code, refused) = server.get(FLEETS_V2).await;
    assert_eq!(code, 500, "{refused}");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("conversion webhook for sea.example.com/v1, Kind=Fleet failed: "), "{message}");
    assert_eq!(server.get(FLEETS).await.0, 200, "what needs no conversion is served");
    server.stop().await;
}
