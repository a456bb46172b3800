//! The way to nodes, pods and services: one HTTP/1.1 exchange per connection, over TLS where the other side speaks it,
//! and raw tunnels for what upgrades.

mod target;
mod tls;

pub(crate) use target::{Target, container_of};
pub use tls::KubeletTls;
use tls::client_tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use oarlock_api::Status;
use oarlock_apiserver_webhook::Resolver;
use oarlock_base::TaskSpawner;
use oarlock_pki::PkiError;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::body::{self, Body};

/// The most of an error's body that is shown to a client.
const ERROR_BODY_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("error dialing backend: dial tcp {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("error dialing backend: dial tcp {address}: i/o timeout")]
    Timeout { address: String },
    #[error("error dialing backend: tls: {source}")]
    Tls { source: std::io::Error },
    #[error("error dialing backend: {0} is no name for a TLS server")]
    Name(String),
    #[error("error dialing backend: {0}")]
    Http(#[from] hyper::Error),
}

/// How a server other than a kubelet is known.
pub(crate) struct Trust {
    pub(crate) config: Arc<rustls::ClientConfig>,
    /// What its certificate must be for.
    pub(crate) name: String,
}

pub(crate) struct Dialer {
    /// None: plain HTTP only.
    tls: Option<Arc<rustls::ClientConfig>>,
    resolver: Resolver,
    addresses: Vec<String>,
    timeout: Duration,
    tasks: TaskSpawner,
}

impl Dialer {
    pub(crate) fn new(settings: &KubeletTls, tasks: TaskSpawner) -> Result<Self, PkiError> {
        let (addresses, timeout) = (settings.addresses.clone(), settings.timeout);
        let tls = Some(client_tls(settings)?);
        Ok(Self { tls, resolver: Resolver::default(), addresses, timeout, tasks })
    }

    /// The kubelet of a node.
    pub(crate) fn kubelet(&self, node: &Value) -> Result<Target, Status> {
        target::kubelet_of(node, &self.addresses)
    }

    /// Sends one request; the connection ends with its response.
    pub(crate) async fn send(
        &self,
        target: &Target,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, DialError> {
        self.send_to(target, None, request).await
    }

    /// The same to somebody who is known by other keys than a kubelet's.
    pub(crate) async fn send_to(
        &self,
        target: &Target,
        trust: Option<&Trust>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, DialError> {
        let address = target.authority();
        let dial = self.connect(target);
        let stream = match tokio::time::timeout(self.timeout, dial).await {
            Err(_) => return Err(DialError::Timeout { address }),
            Ok(Err(source)) => return Err(DialError::Connect { address, source }),
            Ok(Ok(stream)) => stream,
        };
        // Interactive streams must not wait for full segments; a socket that refuses is only slower.
        let _ = stream.set_nodelay(true);
        let (config, name) = match trust {
            Some(trust) => (Some(&trust.config), &trust.name),
            None => (self.tls.as_ref(), &target.host),
        };
        match config {
            Some(config) if target.tls => {
                let name = rustls_pki_types::ServerName::try_from(name.clone())
                    .map_err(|_| DialError::Name(name.clone()))?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let stream =
                    connector.connect(name, stream).await.map_err(|source| DialError::Tls { source })?;
                self.exchange(stream, request).await
            }
            _ => self.exchange(stream, request).await,
        }
    }

    /// Names are resolved by the files of the system alone; the binary is static.
    async fn connect(&self, target: &Target) -> std::io::Result<TcpStream> {
        let addresses = match target.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => self.resolver.resolve(&target.host).await.map_err(std::io::Error::other)?,
        };
        let mut refused = std::io::Error::other(format!("lookup {}: no such host", target.host));
        for ip in addresses {
            match TcpStream::connect((ip, target.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn exchange<S>(&self, stream: S, request: Request<Body>) -> Result<Response<Incoming>, DialError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let stop = self.tasks.shutdown().clone();
        self.tasks.spawn("backend-connection", async move {
            // How it ends is seen by the reader of the response.
            let _ = stop.or(connection.with_upgrades()).await;
        });
        Ok(sender.send_request(request).await?)
    }

    /// Forwards a request; where both sides switch protocols, their bytes flow until either ends.
    pub(crate) async fn forward(
        &self,
        target: &Target,
        path_and_query: &str,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        self.forward_to(target, None, path_and_query, HeaderMap::new(), request).await
    }

    /// The same to somebody who is known by other keys, with headers of our own.
    pub(crate) async fn forward_to(
        &self,
        target: &Target,
        trust: Option<&Trust>,
        path_and_query: &str,
        own: HeaderMap,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let client = hyper::upgrade::on(&mut request);
        let upgrading = request.headers().contains_key(UPGRADE);
        let (parts, body) = request.into_parts();
        let mut onward = Request::new(if upgrading { body::empty() } else { body });
        *onward.method_mut() = parts.method;
        *onward.uri_mut() =
            path_and_query.parse().map_err(|_| Status::bad_request("the path cannot be forwarded"))?;
        *onward.headers_mut() = forwarded(&parts.headers, upgrading);
        if let Ok(host) = target.authority().parse() {
            onward.headers_mut().insert(HOST, host);
        }
        onward.headers_mut().extend(own);
        let mut response = self.send_to(target, trust, onward).await.map_err(unreachable)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut parts, body) = response.into_parts();
            parts.headers = forwarded(&parts.headers, false);
            return Ok(Response::from_parts(parts, body::wrap(body)));
        }
        let backend = hyper::upgrade::on(&mut response);
        let stop = self.tasks.shutdown().clone();
        self.tasks.spawn("tunnel", async move {
            let tunnel = async {
                let (client, backend) = match tokio::try_join!(client, backend) {
                    Ok(both) => both,
                    Err(error) => return tracing::debug!(%error, "a tunnel did not open"),
                };
                let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
                // Either side may hang up at any time; that is how a tunnel ends.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
            };
            // A shutdown cuts tunnels.
            let _ = stop.or(tunnel).await;
        });
        let (parts, _) = response.into_parts();
        Ok(Response::from_parts(parts, body::empty()))
    }
}

pub(crate) fn unreachable(error: DialError) -> Status {
    Status::new(500, "", error.to_string())
}

const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::TE,
    http::header::TRAILER,
    http::header::PROXY_AUTHORIZATION,
    UPGRADE,
];

/// The headers that go on: not those of this hop (but the upgrade itself), and never the client's credentials.
fn forwarded(headers: &HeaderMap, upgrading: bool) -> HeaderMap {
    let keep = |name: &HeaderName| {
        if name == CONNECTION || name == UPGRADE {
            return upgrading;
        }
        !HOP_BY_HOP.contains(name)
            && name != http::header::AUTHORIZATION
            && !name.as_str().starts_with("impersonate-")
            && !name.as_str().starts_with("x-remote-")
    };
    headers.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The start of an error's body.
pub(crate) async fn error_text(body: Incoming) -> String {
    let limited = http_body_util::Limited::new(body, ERROR_BODY_MAX);
    let bytes =
        limited.collect().await.map(|collected| collected.to_bytes()).unwrap_or_else(|_| Bytes::new());
    String::from_utf8_lossy(&bytes).trim_end().to_string()
}
