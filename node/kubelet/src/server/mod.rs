//! The kubelet's HTTPS server: logs, exec, attach, port-forward, stats and health, for the API server and whoever it is
//! told to trust. Every request is authenticated by client certificate and authorised by the API ([`auth`]).

mod auth;
mod logs;
mod metrics;
mod stats;
mod stream;
mod translate;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use oarlock_base::{Shutdown, TaskSpawner, Tasks};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::config::ServerConfig;
use crate::manager::Manager;
use crate::pod::PodExt as _;
use auth::{Authoriser, Identity};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("use the serving certificate")]
    Tls(#[from] oarlock_pki::PkiError),
    #[error("serve connections")]
    Tasks(#[from] oarlock_base::TaskError),
}

/// Binds the port; a port of 0 becomes the one that was taken.
pub(crate) async fn bind(config: &mut ServerConfig) -> Result<(TcpListener, TlsAcceptor), ServerError> {
    let address = SocketAddr::new(config.bind, config.port);
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    config.port = listener.local_addr().map_err(|source| ServerError::Listen { address, source })?.port();
    oarlock_pki::install_crypto_provider();
    let identity =
        oarlock_pki::Identity { cert_pem: config.cert_pem.clone(), key_pem: config.key_pem.clone() };
    let tls = oarlock_pki::server_config(&identity, Some(&config.client_ca_pem), &["http/1.1"])?;
    Ok((listener, TlsAcceptor::from(Arc::new(tls))))
}

pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    manager: Manager,
    stop: Shutdown,
) -> Result<(), ServerError> {
    let tasks = Tasks::new("kubelet server", &stop);
    let spawner = tasks.spawner();
    let server = Arc::new(Server {
        authoriser: Authoriser::new(manager.context().config.client.clone()),
        manager,
        spawner: spawner.clone(),
        translates: AtomicBool::new(false),
    });
    while let Some(accepted) = stop.or(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (server, tls) = (server.clone(), tls.clone());
                let stopped = spawner.shutdown().clone();
                spawner.spawn("connection", async move {
                    stopped.or(server.connection(stream, tls)).await;
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give others time to close theirs.
                debug!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(tasks.join().await?)
}

struct Server {
    manager: Manager,
    authoriser: Authoriser,
    spawner: TaskSpawner,
    /// The runtime has refused a WebSocket once.
    translates: AtomicBool,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) {
        let tls = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return debug!(%error, "TLS handshake"),
            Err(_) => return,
        };
        let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        let identity = certificate.as_ref().and_then(|der| Identity::of(der)).map(Arc::new);
        let service = hyper::service::service_fn(move |request| {
            let (server, identity) = (self.clone(), identity.clone());
            async move { Ok::<_, Infallible>(server.answer(request, identity.as_deref()).await) }
        });
        let builder = hyper::server::conn::http1::Builder::new();
        if let Err(error) = builder.serve_connection(TokioIo::new(tls), service).with_upgrades().await {
            debug!(%error, "connection");
        }
    }

    async fn answer(&self, request: Request<Incoming>, identity: Option<&Identity>) -> Response<Body> {
        let Some(identity) = identity else {
            return text(StatusCode::UNAUTHORIZED, "Unauthorized");
        };
        let path = request.uri().path().to_owned();
        if let Err(refusal) = self
            .authoriser
            .allows(identity, request.method(), &path, &self.manager.context().config.node_name)
            .await
        {
            return refusal;
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["healthz"]) | (&Method::GET, ["healthz", "ping" | "log" | "syncloop"]) => {
                text(StatusCode::OK, "ok")
            }
            (&Method::GET, ["pods"]) => self.pods(false),
            (&Method::GET, ["runningpods"]) => self.pods(true),
            (&Method::GET, ["containerLogs", namespace, pod, container]) => {
                self.container_logs(&request, namespace, pod, container).await
            }
            (_, ["exec" | "attach" | "portForward", ..]) => self.stream(request, &parts).await,
            (&Method::GET, ["metrics"]) => metrics::own(),
            (&Method::GET, ["metrics", "resource"]) => self.resource_metrics().await,
            (&Method::GET, ["metrics", "cadvisor"]) => self.cadvisor_metrics().await,
            (&Method::GET, ["metrics", "probes"]) => text(StatusCode::OK, ""),
            (&Method::GET, ["stats", "summary"]) => self.stats_summary().await,
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn pods(&self, running_only: bool) -> Response<Body> {
        let mut pods = self.manager.pods();
        pods.sort_by_key(|pod| (pod.namespace().to_owned(), pod.name().to_owned()));
        let items: Vec<Pod> = pods
            .iter()
            .map(|pod| {
                let mut pod = Pod::clone(pod);
                if let Some(status) = self.manager.context().status.latest(&pod) {
                    pod.status = Some((*status).clone());
                }
                pod
            })
            .filter(|pod| !running_only || pod.phase() == "Running")
            .collect();
        json(&serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
    }
}

pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = text(StatusCode::OK, value.to_string());
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// One value of a query.
pub(crate) fn query(uri: &http::Uri, key: &str) -> Option<String> {
    queries(uri, key).into_iter().next()
}

/// All values of a key in a query.
pub(crate) fn queries(uri: &http::Uri, key: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter(|(name, _)| name == key).map(|(_, value)| value.into_owned()).collect()
}

pub(crate) fn flag(uri: &http::Uri, key: &str) -> bool {
    query(uri, key).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}
