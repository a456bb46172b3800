//! Connections to the members: one lazily made and re-made per endpoint, calls with deadlines, and failover.
//!
//! A call goes to the endpoint that worked last. When it fails, the next one becomes current; reads are made again there, and writes
//! only when they certainly were not done.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use oarlock_base::Backoff;
use oarlock_pki::Identity;
use prost::Message;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tracing::{debug, info};

use super::Config;
use super::errors::{Again, Refusal, again, refusal, unavailable};
use crate::types::{Result, StoreError};

/// Upstream's: the connection is asked for a sign of life when it was quiet for so long, and given so long to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between tries of one call: short, because the next try goes to another member.
const RETRY: Backoff =
    Backoff::doubling(Duration::from_millis(20), Duration::from_millis(500)).with_jitter(0.5);

/// Received at once, per stream and in all: larger than HTTP/2's 64 KiB, so that large listings do not crawl.
const WINDOW: u32 = 1 << 20;

/// Names to addresses. Addresses and `localhost` never come here.
pub type Resolver = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// May the call be made again although it may have been done?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

pub(super) struct Member {
    pub(super) endpoint: String,
    channel: Channel,
}

pub(super) struct Connection {
    members: Vec<Member>,
    current: AtomicUsize,
    timeout: Duration,
}

impl Connection {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let tls = Arc::new(Tls::new(config)?);
        let members = config.endpoints.iter().map(|endpoint| member(config, endpoint, &tls));
        let members: Vec<Member> = members.collect::<Result<_>>()?;
        if members.is_empty() {
            return Err(StoreError::Unavailable("no etcd endpoint is configured".into()));
        }
        Ok(Self { members, current: AtomicUsize::new(0), timeout: config.request_timeout })
    }

    /// One call, with all its tries.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member that calls go to now.
    pub(super) fn current(&self) -> &Member {
        &self.members[self.current.load(Ordering::Relaxed) % self.members.len()]
    }

    /// Calls go elsewhere, unless somebody has seen to that already.
    pub(super) fn leave(&self, member: &Member) {
        let at = self.current.load(Ordering::Relaxed);
        if std::ptr::eq(&self.members[at % self.members.len()], member) && self.members.len() > 1 {
            let next = (at + 1) % self.members.len();
            if self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                info!(from = member.endpoint, to = self.members[next].endpoint, "etcd: another member");
            }
        }
    }

    /// One answer, from whichever member can give it before the deadline.
    pub(super) async fn call<Q, A>(&self, kind: Kind, path: &'static str, request: Q) -> Result<A, Refusal>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        let mut pause = RETRY.start();
        loop {
            let member = self.current();
            // A member that does not answer must leave time to ask another one.
            let share = if kind == Kind::Read { self.timeout / 3 } else { self.timeout };
            let until = deadline.min(Instant::now() + share);
            let status = match timeout_at(until, member.unary(path, request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("{} did not answer in time", member.endpoint)),
            };
            let again = again(&status);
            if again != Again::Never {
                self.leave(member);
            }
            let wait = pause.next_delay();
            let allowed = again == Again::Safely || (again == Again::Perhaps && kind == Kind::Read);
            if !allowed || Instant::now() + wait >= deadline {
                return Err(refusal(status));
            }
            debug!(endpoint = member.endpoint, path, %status, "etcd: call made again");
            sleep(wait).await;
        }
    }
}

impl Member {
    fn client(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(super) async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = self.client();
        client.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let answer = client
            .unary(with_leader(Request::new(request)), PathAndQuery::from_static(path), ProstCodec::default())
            .await?;
        Ok(answer.into_inner())
    }

    /// A stream of requests for a stream of answers.
    pub(super) async fn streaming<Q, A>(
        &self,
        path: &'static str,
        requests: impl futures::Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = self.client();
        client.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let path = PathAndQuery::from_static(path);
        let answers =
            client.streaming(with_leader(Request::new(requests)), path, ProstCodec::default()).await?;
        Ok(answers.into_inner())
    }

    /// One request for a stream of answers.
    pub(super) async fn server_streaming<Q, A>(
        &self,
        path: &'static str,
        request: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = self.client();
        client.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let path = PathAndQuery::from_static(path);
        let answers = client.server_streaming(Request::new(request), path, ProstCodec::default()).await?;
        Ok(answers.into_inner())
    }
}

/// A member cut off from the others refuses at once instead of waiting for them.
fn with_leader<T>(mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    request
}

fn member(config: &Config, endpoint: &str, tls: &Arc<Tls>) -> Result<Member> {
    let wrong = |why: String| StoreError::Unavailable(format!("etcd endpoint {endpoint:?}: {why}"));
    let written = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let uri: Uri = written.parse().map_err(|e| wrong(format!("{e}")))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if config.ca.is_some() => {}
        Some("https") => {
            return Err(wrong("an https endpoint needs the authority to trust (--etcd-cafile)".into()));
        }
        _ => return Err(wrong("it is neither http nor https".into())),
    }
    let (tls, resolver) = (tls.clone(), config.resolver.clone());
    let connector = tower::service_fn(move |uri: Uri| dial(uri, tls.clone(), resolver.clone()));
    let channel = Endpoint::from(uri)
        .user_agent(concat!("oarlock/", env!("CARGO_PKG_VERSION")))
        .map_err(|e| wrong(e.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .connect_with_connector_lazy(connector);
    Ok(Member { endpoint: endpoint.to_owned(), channel })
}

/// The files of `Config`; read anew for each connection, so that renewed certificates are used.
struct Tls {
    ca: Option<std::path::PathBuf>,
    identity: Option<(std::path::PathBuf, std::path::PathBuf)>,
}

impl Tls {
    fn new(config: &Config) -> Result<Self> {
        let identity = match (&config.cert, &config.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => {
                let message = "a client certificate needs its key, and the key its certificate";
                return Err(StoreError::Unavailable(format!("etcd: {message}")));
            }
        };
        let tls = Self { ca: config.ca.clone(), identity };
        tls.connector().map_err(|source| StoreError::Backend {
            tried: "read the certificates for etcd",
            source: source.into(),
        })?;
        Ok(tls)
    }

    fn connector(&self) -> io::Result<Option<TlsConnector>> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let identity = match &self.identity {
            Some((cert, key)) => Some(Identity { cert_pem: read(cert)?, key_pem: read(key)? }),
            None => None,
        };
        oarlock_pki::install_crypto_provider();
        let mut config =
            oarlock_pki::client_config(&read(ca)?, identity.as_ref()).map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Arc::new(config).into()))
    }
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn dial(uri: Uri, tls: Arc<Tls>, resolver: Option<Resolver>) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).to_owned();
    let port = uri.port_u16().unwrap_or(2379);
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in addresses(&host, resolver).await? {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return secure(stream, &uri, host, &tls).await.map(TokioIo::new);
            }
            Err(e) => last = io::Error::new(e.kind(), format!("connect to {address}:{port}: {e}")),
        }
    }
    Err(last)
}

async fn addresses(host: &str, resolver: Option<Resolver>) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if host == "localhost" {
        return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST.octets())]);
    }
    match resolver {
        Some(resolve) => resolve(host.to_owned()).await,
        None => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{host} is not an address, and nothing here resolves names"),
        )),
    }
}

async fn secure(stream: TcpStream, uri: &Uri, host: String, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    if uri.scheme_str() != Some("https") {
        return Ok(Box::new(stream));
    }
    let connector = tls.connector()?.ok_or_else(|| io::Error::other("no authority to trust"))?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// A status that ended a stream.
pub(super) fn stream_error(status: &Status) -> StoreError {
    unavailable(status)
}
