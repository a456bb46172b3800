//! Encryption at rest whose keys come and go while the server runs.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{TestServer, eventually, start_with};
use http::Method;
use oarlock_apiserver::Encryption;
use oarlock_store::{MemoryStore, Op, Txn};
use serde_json::{Value, json};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const FAULT: &str = "no matching key was found for the provided AES transformer";

/// A configuration under which Secrets are sealed with the first of these keys.
fn configuration(keys: &[&str]) -> String {
    use base64::Engine as _;
    let secret = |name: &str| base64::engine::general_purpose::STANDARD.encode(format!("{name:_>32}"));
    let keys: Vec<Value> = keys.iter().map(|name| json!({"name": name, "secret": secret(name)})).collect();
    let resources = json!([{"resources": ["secrets"], "providers": [{"aesgcm": {"keys": keys}}]}]);
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources,
    })
    .to_string()
}

fn key(name: &str) -> String {
    format!("/registry/secrets/default/{name}")
}

/// As upstream's watch cache says that it could not be filled.
fn not_ready(why: &str) -> String {
    format!("storage is (re)initializing: failed to list *core.Secret: {why}")
}

async fn make(server: &TestServer, name: &str) -> Bytes {
    let secret = json!({"metadata": {"name": name}, "stringData": {"k": "v"}});
    assert_eq!(server.ask(Method::POST, SECRETS, secret).await.0, 201);
    server.store.get(key(name).as_bytes(), None).await.expect("read").0.expect("there").value
}

/// Has the server take these keys over; secrets are made on the way, for one that is sealed with a key that goes stays.
async fn take(server: &TestServer, keys: &[&str]) {
    std::fs::write(server.dir.path().join("encryption.yaml"), configuration(keys)).expect("written");
    let prefix = format!("k8s:enc:aesgcm:v1:{}:", keys[0]);
    let mut probes = 0;
    eventually("the keys are taken over", async || {
        probes += 1;
        let sealed = make(server, &format!("probe-{}-{probes}", keys[0])).await;
        sealed.starts_with(prefix.as_bytes()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_and_comes_back_with_its_key() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let path = dir.join("encryption.yaml");
        std::fs::write(&path, configuration(&["old"])).expect("written");
        config.encryption = Encryption::File { path, reload: true };
    })
    .await;
    make(&server, "kept").await;
    let sealed = make(&server, "lost").await;
    take(&server, &["new"]).await;
    let put = Op::Put { key: key("lost").into(), value: sealed, lease: None };
    let txn = Txn { guards: Vec::new(), ops: vec![put] };
    server.store.transact(txn).await.expect("another server writes with the old key");

    let transform = format!("unable to transform key {:?}: {FAULT}", key("lost"));
    let internal = |why: &str| format!("Internal error occurred: {why}");
    let (fault, transform) = (internal(FAULT), [internal(&transform), not_ready(&transform)]);
    for (method, path, code, want) in [
        (Method::GET, "/lost", 500, &fault),
        (Method::GET, "/lost?resourceVersion=0", 500, &fault),
        (Method::DELETE, "/lost", 500, &fault),
        (Method::GET, "", 429, &transform[1]),
        (Method::GET, "?resourceVersion=0", 429, &transform[1]),
        (Method::GET, "?limit=1", 500, &transform[0]),
        (Method::GET, "?limit=1&labelSelector=a", 429, &transform[1]),
        (Method::GET, "?watch=1", 429, &transform[1]),
        (Method::DELETE, "", 500, &transform[0]),
        // It was read before its key went: that is what lists go on to show, and nothing newer can be read.
        (Method::GET, "/kept", 500, &fault),
        (Method::DELETE, "/kept", 500, &fault),
    ] {
        eventually("the change has come", async || {
            let (found, status) = server.ask(method.clone(), &format!("{SECRETS}{path}"), Value::Null).await;
            (found == code && status["message"] == *want).then_some(())
        })
        .await;
    }
    let (_, status) = server.get(SECRETS).await;
    assert_eq!(status["details"]["retryAfterSeconds"], 1, "it grows with how long the fault has lasted");
    let (code, kept) = server.get(&format!("{SECRETS}/kept?resourceVersion=0")).await;
    assert_eq!((code, &kept["data"]["k"]), (200, &json!("dg==")), "what was read is there still");
    assert_eq!(server.get("/api/v1/namespaces/kube-system/secrets").await.0, 200, "others are readable");

    take(&server, &["newer", "new", "old"]).await;
    for path in ["/lost", "/kept", "", "?limit=5"] {
        assert_eq!(server.get(&format!("{SECRETS}{path}")).await.0, 200, "{path}");
    }
    // What changes nothing is written again with the newest key.
    let (_, lost) = server.get(&format!("{SECRETS}/lost")).await;
    let (code, written) = server.ask(Method::PUT, &format!("{SECRETS}/lost"), lost.clone()).await;
    assert_eq!(code, 200);
    assert_ne!(written["metadata"]["resourceVersion"], lost["metadata"]["resourceVersion"]);
    let stored = server.store.get(key("lost").as_bytes(), None).await.expect("read").0.expect("there");
    assert!(stored.value.starts_with(b"k8s:enc:aesgcm:v1:newer:"));
    server.stop().await;
}
