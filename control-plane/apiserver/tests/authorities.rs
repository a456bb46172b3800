//! Authorities of clients and of front proxies that change while the server runs.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Connection, TestServer, eventually, start_with};
use http::Method;
use oarlock_apiserver::{AuthorityFile, RequestHeaderConfig};
use oarlock_pki::{Authority, Profile};
use oarlock_store::MemoryStore;
use serde_json::{Value, json};

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOLD: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

fn authority(dir: &Path, name: &str) -> Authority {
    let path = |end: &str| dir.join(format!("{name}.{end}"));
    Authority::load_or_create(&path("crt"), &path("key"), name).expect("an authority")
}

/// Whom the server takes somebody for who has a certificate of this authority.
async fn taken_for(server: &TestServer, of: &Authority, headers: &[(&str, &str)]) -> Option<String> {
    let identity = of.issue(&Profile::client("jane", "rowers")).expect("a certificate");
    let headers = [headers, &[("content-type", "application/json")]].concat();
    let answer = server.over_tls_as(Some(identity), Method::POST, REVIEW, &headers, b"{}".to_vec()).await;
    let review: Value = serde_json::from_slice(answer.body()).expect("JSON");
    review["status"]["userInfo"]["username"].as_str().map(str::to_string)
}

/// The same over a connection that is open already.
async fn known_as(connection: &Connection, headers: &[(&str, &str)]) -> Option<String> {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    let answer = connection.exchange(Method::POST, REVIEW, &headers, b"{}".to_vec()).await;
    let review: Value = serde_json::from_slice(answer.body()).expect("JSON");
    review["status"]["userInfo"]["username"].as_str().map(str::to_string)
}

async fn becomes(server: &TestServer, of: &Authority, headers: &[(&str, &str)], want: Option<&str>) {
    eventually("another view", async || {
        (taken_for(server, of, headers).await.as_deref() == want).then_some(())
    })
    .await;
}

async fn told(server: &TestServer, key: &str) -> String {
    let (_, map) = server.get(TOLD).await;
    map["data"][key].as_str().unwrap_or_default().to_string()
}

#[tokio::test]
async fn a_changed_client_ca_file_is_believed_and_told() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let (path, first) = (dir.join("clients.crt"), authority(dir, "first"));
        std::fs::write(&path, first.cert_pem()).expect("written");
        let file = AuthorityFile { path, beside: config.client_ca_pem.clone() };
        config.client_ca_pem = Some(file.with(first.cert_pem()).expect("a certificate"));
        config.running.client_ca = Some(file);
    })
    .await;
    let dir = server.dir.path();
    let (first, second, file) = (authority(dir, "first"), authority(dir, "second"), dir.join("clients.crt"));
    assert_eq!(taken_for(&server, &first, &[]).await.as_deref(), Some("jane"));
    assert_eq!(taken_for(&server, &second, &[]).await, None);
    let open = async |of: &Authority| {
        let identity = of.issue(&Profile::client("jane", "rowers")).expect("a certificate");
        server.connection_as(Some(identity)).await
    };
    let (old, new) = (open(&first).await, open(&second).await);
    assert_eq!(known_as(&old, &[]).await.as_deref(), Some("jane"));
    assert_eq!(known_as(&new, &[]).await, None);
    assert!(!told(&server, "client-ca-file").await.contains(second.cert_pem().trim()));

    std::fs::write(&file, "half a file").expect("written");
    std::fs::write(&file, second.cert_pem()).expect("written");
    becomes(&server, &second, &[], Some("jane")).await;
    becomes(&server, &first, &[], None).await;
    assert_eq!(
        known_as(&old, &[]).await,
        None,
        "the connection is open still, its authority is not believed"
    );
    assert_eq!(known_as(&new, &[]).await.as_deref(), Some("jane"), "it was opened before");
    eventually("it is told", async || {
        let told = told(&server, "client-ca-file").await;
        // Another server may believe the first one still.
        (told.contains(second.cert_pem().trim()) && told.contains(first.cert_pem().trim())).then_some(())
    })
    .await;
    std::fs::write(&file, "nothing").expect("written");
    // A change after it shows that it was looked at.
    let both = format!("{}{}", first.cert_pem(), second.cert_pem());
    std::fs::write(&file, both).expect("written");
    becomes(&server, &first, &[], Some("jane")).await;
    assert_eq!(taken_for(&server, &second, &[]).await.as_deref(), Some("jane"));
    server.stop().await;
}

#[tokio::test]
async fn a_changed_front_proxy_ca_file_is_believed_and_told() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let (path, first) = (dir.join("proxies.crt"), authority(dir, "first"));
        std::fs::write(&path, first.cert_pem()).expect("written");
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        config.authentication.request_header = Some(RequestHeaderConfig {
            client_ca_pem: first.cert_pem().to_string(),
            allowed_names: vec![],
            username_headers: names(&["X-Remote-User"]),
            uid_headers: names(&["X-Remote-Uid"]),
            group_headers: names(&["X-Remote-Group"]),
            extra_headers_prefixes: names(&["X-Remote-Extra-"]),
        });
        config.running.proxy_ca = Some(AuthorityFile { path, beside: None });
    })
    .await;
    let dir = server.dir.path();
    let (first, second) = (authority(dir, "first"), authority(dir, "second"));
    let speaks: &[(&str, &str)] = &[("x-remote-user", "somebody")];
    assert_eq!(taken_for(&server, &first, speaks).await.as_deref(), Some("somebody"));
    assert_eq!(taken_for(&server, &second, speaks).await, None);
    let open = async |of: &Authority| {
        let identity = of.issue(&Profile::client("proxy", "")).expect("a certificate");
        server.connection_as(Some(identity)).await
    };
    let (old, new) = (open(&first).await, open(&second).await);
    assert_eq!(known_as(&old, speaks).await.as_deref(), Some("somebody"));
    assert_eq!(known_as(&new, speaks).await, None);
    std::fs::write(dir.join("proxies.crt"), second.cert_pem()).expect("written");
    becomes(&server, &second, speaks, Some("somebody")).await;
    becomes(&server, &first, speaks, None).await;
    assert_eq!(known_as(&old, speaks).await, None);
    assert_eq!(known_as(&new, speaks).await.as_deref(), Some("somebody"));
    eventually("it is told", async || {
        let told = told(&server, "requestheader-client-ca-file").await;
        told.contains(second.cert_pem().trim()).then_some(())
    })
    .await;
    assert_eq!(told(&server, "requestheader-username-headers").await, r#"["X-Remote-User"]"#);
    server.stop().await;
}

#[tokio::test]
async fn what_is_told_comes_back_when_somebody_takes_it() {
    let server = common::start().await;
    assert_eq!(server.ask(Method::DELETE, TOLD, json!(null)).await.0, 200);
    eventually("it is back", async || {
        told(&server, "client-ca-file").await.contains("BEGIN CERTIFICATE").then_some(())
    })
    .await;
    server.stop().await;
}
