//! A real server in process for component tests: its own memory store, its own port, its own authority.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod fixtures;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use oarlock_apiserver::{
    Admission, ApiServer, AuthenticationConfig, AuthorizationConfig, Config, Encryption, FrontProxy,
    KubeletTls, RequestLimits, Running, RuntimeConfig, ServiceAccountKeys, StorageMediaType, User,
};
use oarlock_base::{Shutdown, Tasks};
use oarlock_pki::{Authority, Identity, Profile, SigningKey, SubjectName, client_config};
use oarlock_store::{MemoryStore, Store};
use serde_json::Value;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) admin: kube::Client,
    pub(crate) store: Arc<dyn Store>,
    ca: Authority,
    /// As admin, for all that is asked in a row.
    kept: tokio::sync::OnceCell<Connection>,
    stop: Shutdown,
    tasks: Option<Tasks>,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn admin() -> User {
    User { name: "admin".into(), groups: vec!["system:masters".into()], ..User::default() }
}

/// A server that is ready.
pub(crate) async fn start() -> TestServer {
    start_on(Arc::new(MemoryStore::new())).await
}

pub(crate) async fn start_on(store: Arc<dyn Store>) -> TestServer {
    start_with(store, |_, _| {}).await
}

/// With a changed configuration; its files go into the folder.
pub(crate) async fn start_with(store: Arc<dyn Store>, change: impl FnOnce(&mut Config, &Path)) -> TestServer {
    oarlock_pki::install_crypto_provider();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ca = Authority::load_or_create(&dir.path().join("ca.crt"), &dir.path().join("ca.key"), "ca")
        .expect("a CA");
    let names = vec![SubjectName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), SubjectName::Dns("localhost".into())];
    let serving = ca.issue(&Profile::server("kube-apiserver", names)).expect("a serving identity");
    let key = SigningKey::load_or_create(&dir.path().join("sa.key")).expect("a key");
    let mut config = Config {
        store: store.clone(),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        advertise: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        serving,
        client_ca_pem: Some(ca.cert_pem().to_string()),
        service_accounts: ServiceAccountKeys {
            signing_pem: key.private_pem,
            verification_pem: vec![],
            issuer: "https://kubernetes.default.svc.cluster.local".into(),
            audiences: vec![],
        },
        service_cidr: "10.96.0.0/16".into(),
        node_ports: 30000..=32767,
        cluster_domain: "cluster.local".into(),
        kubelet: KubeletTls::default(),
        front_proxy: FrontProxy::default(),
        encryption: Encryption::default(),
        admission: Admission::default(),
        in_flight: RequestLimits::default(),
        audit: None,
        storage_media_type: StorageMediaType::Json,
        runtime_config: RuntimeConfig::default(),
        authentication: AuthenticationConfig::default(),
        authorization: AuthorizationConfig::default(),
        running: Running::default(),
    };
    change(&mut config, dir.path());
    let server = ApiServer::new(config).await.expect("the server starts");
    let (address, client) = (server.address(), server.client(admin()));
    let mut ready = server.ready();
    let stop = Shutdown::new();
    let mut tasks = Tasks::new("test", &stop);
    tasks.spawn("apiserver", move |stop| server.run(stop));
    ready.wait_for(|ready| *ready).await.expect("the server lives");
    TestServer {
        address,
        admin: client,
        store,
        ca,
        kept: tokio::sync::OnceCell::new(),
        stop,
        tasks: Some(tasks),
        dir,
    }
}

impl TestServer {
    /// Tells it to stop, and does not wait.
    pub(crate) fn begin_stop(&self) {
        self.stop.trigger();
    }

    /// A connection of the administrator, for what no client would send.
    pub(crate) async fn bare(
        &self,
        protocol: &[u8],
    ) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let identity = self.ca.issue(&Profile::client("admin", "system:masters")).expect("a client identity");
        self.connect(Some(identity), protocol).await
    }

    pub(crate) async fn stop(mut self) {
        self.stop.trigger();
        self.tasks.take().expect("stopped once").join().await.expect("an orderly stop");
    }

    /// A request in memory, as admin; JSON back.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.ask_with(method, path, &[("content-type", "application/json")], body.to_string().into_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask_with(Method::GET, path, &[], Vec::new()).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, Value) {
        let response = self.raw(method, path, headers, body).await;
        let code = response.status().as_u16();
        let bytes = response.into_body();
        (
            code,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into())),
        )
    }

    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let connect = async || {
            let identity = self.ca.issue(&Profile::client("admin", "system:masters"));
            self.connection_as(Some(identity.expect("a client identity"))).await
        };
        self.kept.get_or_init(connect).await.exchange(method, path, headers, body).await
    }

    /// A request through the socket, over HTTP/2, with a client certificate if `user` is given.
    pub(crate) async fn over_tls(
        &self,
        user: Option<(&str, &str)>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let identity = user
            .map(|(name, group)| self.ca.issue(&Profile::client(name, group)).expect("a client identity"));
        self.over_tls_as(identity, method, path, headers, body).await
    }

    /// A GET as admin over HTTP/1.1.
    pub(crate) async fn over_http1(&self, path: &str) -> Response<Bytes> {
        let identity = self.ca.issue(&Profile::client("admin", "system:masters")).expect("a client identity");
        let stream = self.connect(Some(identity), b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let exchange = async {
            let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
            Response::from_parts(parts, body.collect().await.expect("a whole body").to_bytes())
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            response = exchange.as_mut() => response,
            // A connection may end before its answer has been read to the end.
            _ = connection => exchange.await,
        }
    }

    async fn connect(
        &self,
        identity: Option<Identity>,
        protocol: &[u8],
    ) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let mut tls = client_config(self.ca.cert_pem(), identity.as_ref()).expect("a client configuration");
        tls.alpn_protocols = vec![protocol.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let stream = tokio::net::TcpStream::connect(self.address).await.expect("the server listens");
        connector.connect("localhost".try_into().expect("a name"), stream).await.expect("TLS")
    }

    /// A connection without a certificate that lasts, for many requests with tokens.
    pub(crate) async fn connection(&self) -> Connection {
        self.connection_as(None).await
    }

    pub(crate) async fn connection_as(&self, identity: Option<Identity>) -> Connection {
        let stream = self.connect(identity, b"h2").await;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let spawner = self.tasks.as_ref().expect("it runs").spawner();
        let stop = spawner.shutdown().clone();
        spawner.spawn("connection", async move {
            // How it ends is not what is tested.
            let _ = stop.or(connection).await;
        });
        Connection { sender }
    }

    /// The same with any certificate, also one of a stranger.
    pub(crate) async fn over_tls_as(
        &self,
        identity: Option<Identity>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let stream = self.connect(identity, b"h2").await;
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let exchange = async {
            let response = sender.send_request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.expect("a whole body").to_bytes();
            Response::from_parts(parts, bytes)
        };
        tokio::select! {
            response = exchange => response,
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    }
}

/// An HTTP/2 connection that stays.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Connection {
    /// The answer's head, with the body still to come.
    pub(crate) async fn open(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        media: &str,
        body: Vec<u8>,
    ) -> Response<hyper::body::Incoming> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", media);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        self.sender.clone().send_request(request).await.expect("an answer")
    }

    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let (head, body) = self.sender.clone().send_request(request).await.expect("an answer").into_parts();
        Response::from_parts(head, body.collect().await.expect("a whole body").to_bytes())
    }

    pub(crate) async fn ask(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        media: &str,
        body: Vec<u8>,
    ) -> (u16, Value) {
        let (head, body) = self.open(token, method, path, media, body).await.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into());
        (head.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = std::time::Duration::from_secs(20);
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}
