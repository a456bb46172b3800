//! The kubelet's own API: who may ask, and what is answered.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use oarlock_client::testing::FakeApi;
use oarlock_cri::fake::FakeRuntime;
use oarlock_pki::{Authority, Identity, Profile, SubjectName, client_config, install_crypto_provider};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Harness, ready, web};
use crate::ServerConfig;

/// Asks the kubelet; gives the status and the body.
async fn get(port: u16, ca: &Authority, identity: Option<&Identity>, path: &str) -> (u16, String) {
    let connector = TlsConnector::from(Arc::new(client_config(ca.cert_pem(), identity).expect("a client")));
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("the kubelet listens");
    let tls =
        connector.connect("node-1".try_into().expect("a name"), tcp).await.expect("the kubelet is known");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.expect("a connection");
    let request = http::Request::get(path).header("Host", "node-1").body(Empty::<bytes::Bytes>::new());
    let exchange = async {
        let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        drop(sender);
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

/// A client of the API that also answers access reviews: only the API server may.
fn judging(api: &FakeApi) -> kube::Client {
    let inner = api.client();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let inner = inner.clone();
        async move {
            if !request.uri().path().ends_with("/subjectaccessreviews") {
                return inner.send(request).await;
            }
            let (_, body) = request.into_parts();
            let mut review: Value = serde_json::from_slice(&body.collect_bytes().await?).expect("a review");
            let allowed = review["spec"]["user"] == "kube-apiserver-kubelet-client";
            review["status"] = json!({ "allowed": allowed });
            Ok::<_, kube::Error>(http::Response::new(Body::from(review.to_string().into_bytes())))
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test]
async fn logs_are_for_those_whom_the_api_allows() {
    install_crypto_provider();
    let dir = tempfile::tempdir().expect("a directory");
    let ca = Authority::load_or_create(&dir.path().join("ca.crt"), &dir.path().join("ca.key"), "ca")
        .expect("a CA");
    let server = ca
        .issue(&Profile::server("system:node:node-1", vec![SubjectName::Dns("node-1".into())]))
        .expect("a serving certificate");
    let client = ca.issue(&Profile::client("kube-apiserver-kubelet-client", "masters")).expect("a client");
    let other = ca.issue(&Profile::client("mallory", "guests")).expect("another client");
    let config = ServerConfig {
        port: 0,
        bind: "127.0.0.1".parse().expect("an address"),
        cert_pem: server.cert_pem.clone(),
        key_pem: server.key_pem.clone(),
        client_ca_pem: ca.cert_pem().to_owned(),
    };
    let api = FakeApi::new();
    let judge = judging(&api);
    let node = Harness::start_with(api, FakeRuntime::new(), |kubelet| {
        kubelet.client = judge;
        kubelet.server = Some(config);
    })
    .await;
    let mut spec = web();
    spec["containers"][0]["command"] = json!(["exit", "0", "hello"]);
    spec["restartPolicy"] = json!("Never");
    node.put_pod("p", web());
    node.put_pod("job", spec);
    node.pod_until("p", ready).await;
    node.pod_until("job", |pod| pod["status"]["phase"] == "Succeeded").await;
    let registered = node.api.get("nodes", "", "node-1").expect("the node");
    let port = registered["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("a port");

    let logs = "/containerLogs/shop/job/web?tailLines=5";
    assert_eq!(get(port, &ca, None, logs).await.0, 401, "a stranger");
    let (status, body) = get(port, &ca, Some(&other), logs).await;
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("user=mallory"), "{body}");
    for (path, expected) in [
        (logs, (200, "hello\n")),
        ("/containerLogs/shop/job/none", (404, "container \"none\" not found in pod \"job\"\n")),
        ("/containerLogs/shop/none/web", (404, "pod \"none\" does not exist\n")),
        ("/healthz", (200, "ok")),
        ("/nothing", (404, "404 page not found\n")),
    ] {
        let (status, body) = get(port, &ca, Some(&client), path).await;
        assert_eq!((status, body.as_str()), expected, "{path}");
    }
    let (_, metrics) = get(port, &ca, Some(&client), "/metrics/resource").await;
    let line = "container_cpu_usage_seconds_total{container=\"web\",namespace=\"shop\",pod=\"p\"} 1.5";
    assert!(metrics.contains(line), "{metrics}");
    let (_, pods) = get(port, &ca, Some(&client), "/pods").await;
    assert!(pods.contains("\"kind\":\"PodList\""), "{pods}");
    node.stop().await;
}
