//! From a target to a byte stream: resolve, connect, shake hands.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls_text::handshake_text;
use crate::{ClientConfig, ConfigError, DialError, Endpoint, Resolver, ServiceResolver, Target};

/// As Go's default transport.
const CONNECT: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where to connect.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Host { host: String, port: u16 },
    Service { namespace: String, name: String, port: u16 },
}

/// Opens connections to one target. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    place: Place,
    /// None: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    services: Arc<dyn ServiceResolver>,
    resolver: Resolver,
}

impl Connector {
    pub(crate) fn new(
        config: &ClientConfig,
        place: Place,
        https: bool,
        services: Arc<dyn ServiceResolver>,
        resolver: Resolver,
    ) -> Result<Self, ConfigError> {
        let host = match &place {
            Place::Host { host, .. } => host.clone(),
            Place::Service { namespace, name, .. } => ClientConfig::service_host(namespace, name),
        };
        let tls = if https {
            let http2 = matches!(config.target, Target::Url(_)) && is_local(&host);
            let tls = crate::tls::client_config(config, http2)?;
            let name = config.server_name.clone().unwrap_or(host);
            let name = name.trim_matches(['[', ']']).to_string();
            let name = ServerName::try_from(name.clone())
                .map_err(|_| ConfigError::Url(format!("no host name: {name:?}")))?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        Ok(Self(Arc::new(Inner { place, tls, services, resolver })))
    }

    /// A new connection, for who speaks another protocol over it than [`Client`](crate::Client) does.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        let stream = self.dial().await?;
        let Some((connector, name)) = &self.0.tls else { return Ok(Stream::Plain(stream)) };
        match tokio::time::timeout(HANDSHAKE, connector.connect(name.clone(), stream)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(DialError::Tls(handshake_text(&error))),
            Err(_) => Err(DialError::Tls("net/http: TLS handshake timeout".into())),
        }
    }

    async fn dial(&self) -> Result<TcpStream, DialError> {
        let (host, port) = match &self.0.place {
            Place::Host { host, port } => (host.clone(), *port),
            Place::Service { namespace, name, port } => {
                match self.0.services.resolve(namespace, name, *port).map_err(DialError::Service)? {
                    Endpoint::Address(address) => return connect_to(&[address]).await,
                    Endpoint::Name { host, port } => (host, port),
                }
            }
        };
        let found = self.0.resolver.resolve(&host).await.map_err(DialError::Resolve)?;
        let addresses: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        connect_to(&addresses).await
    }
}

/// The first that accepts; what the first refused with is told.
async fn connect_to(addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut first = None;
    let each = CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        let told = address.to_string();
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and wait for their answer; a socket that refuses the option still works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => first = first.or(Some(DialError::connect(&told, &error))),
            Err(_) => {
                first = first.or(Some(DialError::Connect { address: told, why: "i/o timeout".into() }));
            }
        }
    }
    Err(first.unwrap_or(DialError::Connect { address: String::new(), why: "no address".into() }))
}

/// HTTP/2 is spoken with this machine only: elsewhere one connection would pin all calls to one of several servers.
pub(crate) fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection to a webhook.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the handshake agreed on HTTP/2.
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.is_http2() { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}
