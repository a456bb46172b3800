//! A real HTTPS webhook server in this process, for tests.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use oarlock_base::{Shutdown, TaskSpawner, Tasks};
use oarlock_pki::{Authority, Profile, SubjectName};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::executor::Owned;
use crate::{Clients, Endpoint, ServiceError, ServiceResolver};

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Value,
}

/// What it answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    pub media: &'static str,
    pub body: Vec<u8>,
    /// Answer only after this long.
    pub delay: Duration,
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { code: 200, media: "application/json", body, delay: Duration::ZERO }
    }

    pub fn text(code: u16, body: &str) -> Self {
        Self { code, media: "text/plain", body: body.into(), delay: Duration::ZERO }
    }

    /// An answer that does not come while the test runs.
    pub fn never() -> Self {
        Self { delay: Duration::from_secs(3600), ..Self::text(200, "") }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;
type Handler = dyn Fn(&Received) -> Answer + Send + Sync;

/// Answers by the names it was started with, over HTTP/2 and HTTP/1.1. Ends when it is dropped.
pub struct TestServer {
    pub address: SocketAddr,
    pub ca_pem: String,
    seen: Arc<Seen>,
    /// Owns the server's tasks.
    _tasks: Tasks,
    stop: Shutdown,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

impl TestServer {
    pub async fn start(
        names: &[&str],
        handler: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut subjects: Vec<SubjectName> =
            names.iter().map(|name| SubjectName::Dns((*name).into())).collect();
        subjects.push(SubjectName::Ip(Ipv4Addr::LOCALHOST.into()));
        Self::start_as(&Profile::server("hook", subjects), handler).await
    }

    /// With a certificate of this profile.
    pub async fn start_as(
        profile: &Profile,
        handler: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        oarlock_pki::install_crypto_provider();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = Authority::load_or_create(&folder.path().join("c"), &folder.path().join("k"), "hooks")
            .expect("an authority");
        let identity = ca.issue(profile).expect("a certificate");
        let tls = oarlock_pki::server_config(&identity, Some(ca.cert_pem()), &["h2", "http/1.1"])
            .expect("a configuration");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen::default());
        let stop = Shutdown::new();
        let mut tasks = Tasks::new("test webhook", &stop);
        let server = Server {
            seen: seen.clone(),
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            handler: Arc::new(handler),
            spawner: tasks.spawner(),
        };
        tasks.spawn("accept", move |stop| async move {
            // The end of the test is the end of the server.
            let _ = stop.or(server.accept(listener)).await;
            Ok::<_, Infallible>(())
        });
        Self { address, ca_pem: ca.cert_pem().into(), seen, _tasks: tasks, stop }
    }

    /// For `clientConfig.caBundle`.
    pub fn ca_bundle(&self) -> String {
        STANDARD.encode(&self.ca_pem)
    }

    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// A `clientConfig` that finds it by URL.
    pub fn client_config(&self, path: &str) -> Value {
        json!({"url": self.url(path), "caBundle": self.ca_bundle()})
    }
}

#[derive(Clone)]
struct Server {
    seen: Arc<Seen>,
    acceptor: TlsAcceptor,
    handler: Arc<Handler>,
    spawner: TaskSpawner,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.seen.connections.fetch_add(1, Ordering::SeqCst);
            let server = self.clone();
            let stop = self.spawner.shutdown().clone();
            self.spawner.spawn("connection", async move {
                // A client that is gone, or a test that is over.
                let _ = stop.or(server.serve(stream)).await;
            });
        }
    }

    async fn serve(self, stream: TcpStream) {
        let Ok(stream) = self.acceptor.accept(stream).await else { return };
        let executor = Owned(self.spawner.clone());
        let service = service_fn(move |request| self.clone().answer(request));
        // How a connection ends is the client's test.
        let _ = auto::Builder::new(executor).serve_connection(TokioIo::new(stream), service).await;
    }

    fn answer(self, request: Request<hyper::body::Incoming>) -> Answering {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let received = Received {
                path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                version: head.version,
                headers: head.headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let answer = (self.handler)(&received);
            self.seen.requests.lock().push(received);
            tokio::time::sleep(answer.delay).await;
            let response = Response::builder().status(answer.code).header("content-type", answer.media);
            Ok(response.body(Full::new(answer.body.into())).expect("a plain response"))
        })
    }
}

/// Knows one service.
pub struct OneService {
    pub namespace: &'static str,
    pub name: &'static str,
    pub address: SocketAddr,
}

impl ServiceResolver for OneService {
    fn resolve(&self, namespace: &str, name: &str, _port: u16) -> Result<Endpoint, ServiceError> {
        if (namespace, name) == (self.namespace, self.name) {
            Ok(Endpoint::Address(self.address))
        } else {
            Err(ServiceError::NotFound(name.into()))
        }
    }
}

/// Clients whose tasks end with the token.
pub fn clients(services: Arc<dyn ServiceResolver>) -> (Clients, Tasks) {
    let tasks = Tasks::new("clients", &Shutdown::new());
    (Clients::new(services, tasks.spawner()), tasks)
}
