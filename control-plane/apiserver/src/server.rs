//! The server put together: what the steps of the request chain share, and the tasks that keep it going.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response};
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_apiserver_access::authentication::{ReloadableAuthentication, VerifyingKey};
use oarlock_apiserver_access::authorization::forbidden;
use oarlock_apiserver_access::impersonate::Impersonator;
use oarlock_apiserver_access::reviews::Reviews;
use oarlock_apiserver_access::token::TokenIssuer;
use oarlock_apiserver_access::{Authorizer, Decision, Objects, User};
use oarlock_apiserver_audit::Audit;
use oarlock_apiserver_encryption::Encryption;
use oarlock_apiserver_flow::Flow;
use oarlock_base::{Features, Shutdown, TaskSpawner, Tasks};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::aggregate::Aggregator;
use crate::authorities::{self, Believed};
use crate::body::{Body, wrap};
use crate::cache::Cache;
use crate::chain::Peer;
use crate::config::{Config, Error, Manners};
use crate::discovery::Discovery;
use crate::flow_control::{InFlight, MaxInFlight};
use crate::follow::Followed;
use crate::health::Health;
use crate::kubelet::Dialer;
use crate::listen::Certificates;
use crate::metrics::Metrics;
use crate::registry::{Catalogue, Registry};
use crate::request_info::RequestInfo;
use crate::{aggregate, authorise, chain, listen, start};

/// What every request may need.
pub(crate) struct Server {
    pub(crate) resources: Arc<Catalogue>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) registry: Registry,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) authenticator: Arc<ReloadableAuthentication>,
    pub(crate) impersonator: Impersonator,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) tokens: TokenIssuer,
    pub(crate) reviews: Reviews,
    pub(crate) keys: Vec<VerifyingKey>,
    pub(crate) issuer: String,
    pub(crate) jwks_uri: String,
    /// Where clients reach this server.
    pub(crate) external_address: String,
    pub(crate) dialer: Dialer,
    pub(crate) discovery: Discovery,
    pub(crate) aggregator: Aggregator,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: InFlight,
    /// None without fairness.
    pub(crate) flow: Option<Arc<Flow>>,
    pub(crate) limits: MaxInFlight,
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) ready: watch::Sender<bool>,
    /// True once the objects of flow control that every cluster has are there.
    pub(crate) flow_objects: watch::Sender<bool>,
    pub(crate) health: Health,
    /// Whose certificates are believed now.
    pub(crate) believed: watch::Sender<Arc<Believed>>,
    /// Where there is any.
    pub(crate) encryption: Option<Arc<Encryption>>,
    /// Triggered when the server is going to stop: `/readyz` fails, and everything else goes on for a while.
    pub(crate) stopping: Shutdown,
    /// Triggered when clients are told to go elsewhere, if they are told so.
    pub(crate) refusing: Shutdown,
    /// Triggered when no connections are taken any more: watches end.
    pub(crate) draining: Shutdown,
    pub(crate) request_timeout: Duration,
    pub(crate) min_request_timeout: Duration,
    pub(crate) goaway_chance: f64,
    pub(crate) manners: Manners,
    pub(crate) delete_workers: usize,
    /// `--feature-gates`
    pub(crate) features: Features,
    /// APIResponseCompression
    pub(crate) compresses: bool,
    /// What `/flagz` tells.
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) started: Timestamp,
    pub(crate) tasks: TaskSpawner,
    /// Connections and their streams, which are waited for when the server stops.
    pub(crate) connections: TaskTracker,
    /// Definitions whose instances are being deleted, by uid.
    pub(crate) cleaning: Mutex<HashSet<String>>,
}

impl Server {
    /// Whether the user may do this, with another verb than the request's.
    pub(crate) async fn authorize(
        &self,
        info: &RequestInfo,
        user: &Arc<User>,
        verb: &str,
    ) -> Result<(), Status> {
        let mut attributes = authorise::attributes(info, user, None);
        attributes.verb = verb.to_string();
        match self.authorizer.authorize(&attributes).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(&attributes, &reason)),
        }
    }
}

/// A running API server. It serves in process from the moment it exists, and on its socket while [`run`](Self::run) does.
pub struct ApiServer {
    server: Arc<Server>,
    listener: TcpListener,
    tls: Arc<listen::Tls>,
    tasks: Tasks,
    address: SocketAddr,
    shutdown_delay: Duration,
}

impl ApiServer {
    /// Reads the store, binds the socket, and begins to create what every cluster has.
    ///
    /// The future is boxed so that it is compiled in this crate, and not again in the binary.
    pub fn new(config: Config) -> BoxFuture<'static, Result<Self, Error>> {
        Box::pin(Self::start(config))
    }

    async fn start(config: Config) -> Result<Self, Error> {
        oarlock_pki::install_crypto_provider();
        let serving = Arc::new(Certificates::new(&config.serving, &config.running.serving)?);
        let authorities = Believed::at_start(&config).handshake();
        let socket = &config.running.socket;
        let tls = Arc::new(listen::Tls::new(serving.clone(), authorities.as_deref(), socket)?);
        let listener = bind(config.bind, socket.shares_port)?;
        let address = listener.local_addr().map_err(|source| Error::Bind { address: config.bind, source })?;
        let mut tasks = Tasks::new("apiserver", &Shutdown::new());
        let server = start::assemble(&config, address.port(), &mut tasks).await?;
        follow_certificates(serving, &mut tasks)?;
        authorities::follow(&config, &server, &tls, &mut tasks)?;
        aggregate::follow_identity(config.running.proxy_client.as_ref(), &server, &mut tasks)?;
        let shutdown_delay = config.running.shutdown_delay;
        Ok(Self { server, listener, tls, tasks, address, shutdown_delay })
    }

    /// Where the socket listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What makes clients that call this server in memory.
    pub fn connector(&self) -> Connector {
        Connector { server: self.server.clone() }
    }

    /// A client that calls this server in memory as `user`. Authorisation and admission apply.
    pub fn client(&self, user: User) -> kube::Client {
        self.connector().client(user)
    }

    /// True once what every cluster has is there and `/readyz` says so.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.server.ready.subscribe()
    }

    /// Serves until the shutdown. Then `/readyz` fails while requests are still taken for the configured delay; after it no
    /// new connections, watches end, and requests under way are finished.
    pub fn run(self, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(self.run_to_end(shutdown))
    }

    async fn run_to_end(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { server, listener, tls, mut tasks, shutdown_delay, .. } = self;
        let whole = tasks.shutdown().clone();
        tasks.spawn("listen", move |stop| async move {
            tokio::select! {
                () = last_requests(&server, &shutdown, shutdown_delay) => {}
                () = listen::accept(&server, &listener, &tls) => {}
                () = stop.wait() => {}
            }
            drop(listener);
            server.draining.trigger();
            listen::farewell(&server).await;
            whole.trigger();
            Ok::<_, Infallible>(())
        });
        Ok(tasks.join().await?)
    }
}

/// Returns when the server has been told to stop, and the delay since that was announced is over.
async fn last_requests(server: &Server, shutdown: &Shutdown, delay: Duration) {
    let told = async {
        shutdown.wait().await;
        server.stopping.trigger();
    };
    let announced = async {
        server.stopping.wait().await;
        tokio::time::sleep(delay).await;
    };
    tokio::join!(told, announced);
    if server.manners.retry_while_stopping {
        // Who comes now is told to go elsewhere, and those who are here are waited for.
        server.refusing.trigger();
        listen::drain(server).await;
    }
}

fn follow_certificates(serving: Arc<Certificates>, tasks: &mut Tasks) -> Result<(), Error> {
    let (paths, what) = (serving.paths(), "serving-certificates");
    if paths.is_empty() {
        return Ok(());
    }
    let followed = Followed::new(what, paths).map_err(|source| Error::Watch { what, source })?;
    let take = move || serving.reload().map_err(|error| error.to_string());
    tasks.spawn(what, move |stop| followed.run(stop, take));
    Ok(())
}

/// Makes clients of a server in this process; outlives the [`ApiServer`] that is consumed by running.
#[derive(Clone)]
pub struct Connector {
    pub(crate) server: Arc<Server>,
}

impl Connector {
    /// Says that the server is going to stop: `/readyz` fails from now on, and everything else goes on until the shutdown.
    pub fn announce_stop(&self) {
        self.server.stopping.trigger();
    }

    /// A client that calls the server in memory as `user`. Authorisation and admission apply.
    pub fn client(&self, user: User) -> kube::Client {
        let (server, peer) = (self.server.clone(), Peer::inside(user));
        let agent = component_of(&peer);
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            request.headers_mut().entry(USER_AGENT).or_insert_with(|| agent.clone());
            let answer = chain::handle(server.clone(), peer.clone(), request.map(wrap));
            async move {
                let response: Response<Body> = answer.await;
                Ok::<_, Infallible>(response)
            }
        });
        kube::Client::new(service, "default")
    }
}

/// What a component of this process calls itself: its writes are recorded under this name.
fn component_of(peer: &Peer) -> HeaderValue {
    let name = peer.identity.as_ref().map(|user| user.name.as_str()).unwrap_or_default();
    let name = match name.strip_prefix("system:").unwrap_or(name) {
        name if name.starts_with("serviceaccount:kube-system:") => "kube-controller-manager",
        name if name.starts_with("node:") => "kubelet",
        name => name,
    };
    HeaderValue::from_str(name).unwrap_or_else(|_| HeaderValue::from_static("oarlock"))
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

fn bind(address: SocketAddr, shares_port: bool) -> Result<TcpListener, Error> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A server that starts again takes its port back at once.
        socket.set_reuseaddr(true)?;
        if shares_port {
            socket.set_reuseport(true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| Error::Bind { address, source })
}
