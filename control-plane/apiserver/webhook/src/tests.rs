//! Calls over real connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use serde_json::json;

use crate::testing::{Answer, OneService, TestServer, clients};
use crate::{CallError, ClientConfig, Clients, NoServices, Secret, Target};

const SECOND: Option<Duration> = Some(Duration::from_secs(10));

async fn call(clients: &Clients, config: &ClientConfig) -> Result<Bytes, CallError> {
    clients.client(config).expect("a good configuration").post(Bytes::from_static(b"{\"a\":1}"), SECOND).await
}

fn config(server: &TestServer, path: &str) -> ClientConfig {
    ClientConfig::from_client_config(&server.client_config(path)).expect("complete")
}

fn service(server: &TestServer) -> ClientConfig {
    let value = json!({
        "service": {"namespace": "ns", "name": "hook", "path": "/s"}, "caBundle": server.ca_bundle(),
    });
    ClientConfig::from_client_config(&value).expect("complete")
}

#[tokio::test]
async fn calls_share_connections_and_tell_the_server_their_timeout() {
    let server = TestServer::start(&["hook.ns.svc"], |_| Answer::json(&json!({"ok": true}))).await;
    let known = OneService { namespace: "ns", name: "hook", address: server.address };
    let (clients, _tasks) = clients(Arc::new(known));
    let mut by_url = config(&server, "/a");
    by_url.credentials.token = Some(Secret("t".into()));
    for _ in 0..3 {
        let body = call(&clients, &by_url).await.expect("answered");
        assert_eq!(body, "{\"ok\":true}");
        call(&clients, &service(&server)).await.expect("answered");
    }
    assert_eq!(server.connections(), 2, "one for each configuration");
    let requests = server.requests();
    assert_eq!(requests[0].path, "/a?timeout=10s");
    assert_eq!(requests[0].version, Version::HTTP_2, "on this machine");
    assert_eq!(requests[0].headers["authorization"], "Bearer t");
    assert_eq!(requests[0].body, json!({"a": 1}));
    assert_eq!(requests[1].version, Version::HTTP_11, "to a service");
    assert_eq!(requests[1].headers["host"], "hook.ns.svc:443");
}

#[tokio::test]
async fn failures_are_told_in_upstreams_words() {
    let server = TestServer::start(&["other.ns.svc"], |received| match received.path.as_str() {
        "/404?timeout=10s" => Answer::text(404, "no"),
        "/large?timeout=10s" => Answer::text(200, &"x".repeat(crate::client::RESPONSE_BYTES_MAX + 1)),
        _ => Answer::json(&json!({})),
    })
    .await;
    let known = OneService { namespace: "ns", name: "hook", address: server.address };
    let (clients, _tasks) = clients(Arc::new(known));
    let check = async |config: ClientConfig, want: &str| {
        let error = call(&clients, &config).await.expect_err(want);
        assert_eq!(error.to_string(), want);
    };
    check(config(&server, "/404"), "the server could not find the requested resource").await;
    let large =
        format!("response body from \"{}?timeout=10s\" is larger than 16777216 bytes", server.url("/large"));
    check(config(&server, "/large"), &large).await;
    check(
        service(&server),
        "Post \"https://hook.ns.svc:443/s?timeout=10s\": tls: failed to verify certificate: x509: certificate is valid \
         for other.ns.svc, not hook.ns.svc",
    )
    .await;
    let mut unknown = service(&server);
    unknown.target =
        Target::Service { namespace: "ns".into(), name: "no".into(), port: 8443, path: String::new() };
    check(unknown, "Post \"https://no.ns.svc:8443/?timeout=10s\": service \"no\" not found").await;
    let stranger = TestServer::start(&[], |_| Answer::json(&json!({}))).await;
    let mut distrusted = config(&server, "/x");
    distrusted.ca_pem = Some(stranger.ca_pem.clone());
    let want = format!(
        "Post \"{}?timeout=10s\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        server.url("/x")
    );
    check(distrusted.clone(), &want).await;
    distrusted.insecure_skip_verify = true;
    call(&clients, &distrusted).await.expect("whoever it is");
}

#[tokio::test]
async fn a_certificate_with_only_an_old_name_is_explained() {
    let nameless = oarlock_pki::Profile::server("hook.ns.svc", Vec::new());
    let server = TestServer::start_as(&nameless, |_| Answer::json(&json!({}))).await;
    let known = OneService { namespace: "ns", name: "hook", address: server.address };
    let (clients, _tasks) = clients(Arc::new(known));
    let error = call(&clients, &service(&server)).await.expect_err("no names").to_string();
    let want = "x509: certificate relies on legacy Common Name field, use SANs instead";
    assert!(error.ends_with(want), "{error}");
    let error = call(&clients, &config(&server, "/x")).await.expect_err("no addresses").to_string();
    let want = "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs";
    assert!(error.ends_with(want), "{error}");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let config = ClientConfig::new(Target::Url(format!("https://{address}/x")));
    let error = call(&clients, &config).await.expect_err("nobody listens");
    assert_eq!(
        error.to_string(),
        format!("Post \"https://{address}/x?timeout=10s\": dial tcp {address}: connect: connection refused")
    );
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_nothing_is_told_of() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let config = ClientConfig::new(Target::Url(format!("https://{address}/x")));
    let serve = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_exact(&mut [0; 5]).await.expect("a hello");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        stream
    };
    let (result, _held) = tokio::join!(call(&clients, &config), serve);
    let error = result.expect_err("not TLS").to_string();
    assert!(error.ends_with(": http: server gave HTTP response to HTTPS client"), "{error}");
}

#[tokio::test]
async fn a_call_ends_with_its_timeout() {
    let server = TestServer::start(&[], |_| Answer::never()).await;
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let client = clients.client(&config(&server, "/x")).expect("a client");
    let error = client.post(Bytes::new(), Some(Duration::from_millis(50))).await.expect_err("too late");
    assert!(error.is_deadline());
    assert_eq!(
        error.to_string(),
        format!("Post \"{}?timeout=1s\": context deadline exceeded", server.url("/x"))
    );
}
