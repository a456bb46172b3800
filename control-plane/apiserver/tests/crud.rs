//! Objects come, change and go: the verbs on a plain kind, and how bad requests are answered.

mod common;

use http::Method;
use oarlock_pki::{Authority, Profile};
use serde_json::{Value, json};

use common::{TestServer, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let server = start().await;
    let (code, made) = server.ask(Method::POST, MAPS, map("a")).await;
    assert_eq!(code, 201, "{made}");
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["resourceVersion"].is_string());
    let (code, again) = server.ask(Method::POST, MAPS, map("a")).await;
    assert_eq!((code, &again["message"]), (409, &json!("configmaps \"a\" already exists")));
    let (code, got) = server.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, &got), (200, &made));

    let mut changed = made.clone();
    changed["data"]["k"] = "w".into();
    let (code, put) = server.ask(Method::PUT, &format!("{MAPS}/a"), changed.clone()).await;
    assert_eq!((code, &put["data"]["k"]), (200, &json!("w")));
    let (code, stale) = server.ask(Method::PUT, &format!("{MAPS}/a"), changed).await;
    assert_eq!((code, stale["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(
        stale["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again"
    );
    let (_, same) = server.ask(Method::PUT, &format!("{MAPS}/a"), put.clone()).await;
    assert_eq!(
        same["metadata"]["resourceVersion"], put["metadata"]["resourceVersion"],
        "a no-op writes nothing"
    );

    let (code, gone) = server.ask(Method::DELETE, &format!("{MAPS}/a"), json!({})).await;
    assert_eq!((code, gone["status"].as_str()), (200, Some("Success")));
    assert_eq!(gone["details"]["kind"], "configmaps");
    let (code, missing) = server.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, &missing["message"]), (404, &json!("configmaps \"a\" not found")));
    server.stop().await;
}

#[tokio::test]
async fn patches_of_every_kind_apply() {
    let server = start().await;
    server.ask(Method::POST, MAPS, map("a")).await;
    let path = format!("{MAPS}/a");
    let patch = |kind: &'static str, body: Value| {
        let (server, path) = (&server, &path);
        async move {
            let headers = [("content-type", kind)];
            server.ask_with(Method::PATCH, path, &headers, body.to_string().into_bytes()).await
        }
    };
    let (code, merged) = patch("application/merge-patch+json", json!({"data": {"k": null, "m": "1"}})).await;
    assert_eq!((code, &merged["data"]), (200, &json!({"m": "1"})));
    let op = json!([{"op": "add", "path": "/data/j", "value": "2"}]);
    let (code, jsonned) = patch("application/json-patch+json", op).await;
    assert_eq!((code, &jsonned["data"]), (200, &json!({"j": "2", "m": "1"})));
    let body = json!({"metadata": {"labels": {"x": "y"}}});
    let (code, strategic) = patch("application/strategic-merge-patch+json", body).await;
    assert_eq!((code, &strategic["metadata"]["labels"]["x"]), (200, &json!("y")));
    let (code, refused) = patch("application/apply-patch+yaml", json!({})).await;
    assert_eq!((code, refused["reason"].as_str()), (422, Some("Invalid")), "an apply names its manager");
    let (code, refused) = patch("application/what", json!({})).await;
    assert_eq!((code, refused["reason"].as_str()), (415, Some("UnsupportedMediaType")));
    server.stop().await;
}

#[tokio::test]
async fn bad_input_is_answered_as_upstream_answers() {
    let server = start().await;
    let post = |headers: &'static [(&'static str, &'static str)], body: Vec<u8>| {
        let server = &server;
        async move { server.ask_with(Method::POST, MAPS, headers, body).await }
    };
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    let (code, status) = post(JSON, b"{not json".to_vec()).await;
    assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")));
    assert!(
        status["message"].as_str().is_some_and(|m| m.contains("the object provided is unrecognized")),
        "{status}"
    );
    let wrong = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": 7});
    let (code, status) = post(JSON, wrong.to_string().into_bytes()).await;
    assert_eq!(code, 400);
    let want =
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into";
    assert!(status["message"].as_str().is_some_and(|m| m.starts_with(want)), "{status}");
    let (code, status) = post(JSON, vec![b' '; 4 * 1024 * 1024]).await;
    assert_eq!((code, &status["message"]), (413, &json!("Request entity is too large: limit is 3145728")));
    let (code, status) = post(&[("content-type", "text/csv")], b"a,b".to_vec()).await;
    assert_eq!((code, status["reason"].as_str()), (415, Some("UnsupportedMediaType")));
    let (code, status) = server.get("/api/v1/gadgets").await;
    assert_eq!((code, &status["message"]), (404, &json!("the server could not find the requested resource")));
    let (code, _) = server.ask_with(Method::GET, MAPS, &[("accept", "text/csv")], vec![]).await;
    assert_eq!(code, 406);
    let mut named = map("Bad_Name/x");
    named["metadata"]["labels"] = json!({"a b": "c"});
    let (code, status) = server.ask(Method::POST, MAPS, named).await;
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    let elsewhere =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "other"}});
    let (code, status) = server.ask(Method::POST, MAPS, elsewhere).await;
    assert_eq!(code, 400, "{status}");
    let (code, status) = server.ask(Method::POST, "/api/v1/namespaces/nowhere/configmaps", map("x")).await;
    assert_eq!((code, &status["message"]), (404, &json!("namespaces \"nowhere\" not found")));
    server.stop().await;
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_ignored() {
    let server = start().await;
    let odd = |name: &str| {
        let mut object = map(name);
        object["foo"] = 1.into();
        object.to_string().into_bytes()
    };
    let json = [("content-type", "application/json")];
    let strict = server.raw(Method::POST, &format!("{MAPS}?fieldValidation=Strict"), &json, odd("a")).await;
    assert_eq!(strict.status(), 400);
    assert!(
        String::from_utf8_lossy(strict.body()).contains("strict decoding error: unknown field \\\"foo\\\"")
    );
    let warned = server.raw(Method::POST, MAPS, &json, odd("b")).await;
    assert_eq!(warned.status(), 201);
    assert_eq!(warned.headers()["warning"], "299 - \"unknown field \\\"foo\\\"\"");
    let ignored = server.raw(Method::POST, &format!("{MAPS}?fieldValidation=Ignore"), &json, odd("c")).await;
    assert_eq!(ignored.status(), 201);
    assert!(!ignored.headers().contains_key("warning"));
    server.stop().await;
}

#[tokio::test]
async fn deletion_waits_for_finalizers_and_checks_preconditions() {
    let server = start().await;
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let (_, made) = server.ask(Method::POST, MAPS, held).await;
    let path = format!("{MAPS}/a");
    let (code, status) = server.ask(Method::DELETE, &path, json!({"preconditions": {"uid": "other"}})).await;
    assert_eq!((code, status["reason"].as_str()), (409, Some("Conflict")));
    let (code, marked) = server.ask(Method::DELETE, &path, json!({})).await;
    assert_eq!(code, 200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    let mut freed = marked.clone();
    freed["metadata"]["finalizers"] = json!([]);
    assert_eq!(server.ask(Method::PUT, &path, freed).await.0, 200);
    assert_eq!(server.get(&path).await.0, 404);
    assert_eq!(made["metadata"]["finalizers"], json!(["example.com/hold"]));
    server.stop().await;
}

#[tokio::test]
async fn names_are_generated_and_dry_runs_leave_nothing() {
    let server: TestServer = start().await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}});
    let (code, made) = server.ask(Method::POST, MAPS, object).await;
    assert_eq!(code, 201);
    assert!(made["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("g-") && name.len() == 7));
    let (code, _) = server.ask(Method::POST, &format!("{MAPS}?dryRun=All"), map("dry")).await;
    assert_eq!(code, 201);
    assert_eq!(server.get(&format!("{MAPS}/dry")).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn who_may_what_is_decided_by_certificate_and_role() {
    let server = start().await;
    let nobody = server.over_tls(None, Method::GET, MAPS, &[], vec![]).await;
    assert_eq!(nobody.status(), 401);
    let health = server.over_tls(None, Method::GET, "/readyz", &[], vec![]).await;
    assert_eq!((health.status().as_u16(), &health.body()[..]), (200, &b"ok"[..]));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stranger =
        Authority::load_or_create(&dir.path().join("crt"), &dir.path().join("key"), "ca").expect("a CA");
    let identity = stranger.issue(&Profile::client("admin", "system:masters")).expect("an identity");
    let refused = server.over_tls_as(Some(identity), Method::GET, MAPS, &[], vec![]).await;
    assert_eq!(refused.status(), 401, "a stranger's certificate proves nothing");
    let alice = server.over_tls(Some(("alice", "people")), Method::GET, MAPS, &[], vec![]).await;
    assert_eq!(alice.status(), 403);
    let told: Value = serde_json::from_slice(alice.body()).expect("a Status");
    assert_eq!(
        told["message"],
        "configmaps is forbidden: User \"alice\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\""
    );
    server.stop().await;
}
