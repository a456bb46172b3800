//! The server put together: what the steps of the request chain share, and the tasks that keep it going.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::authentication::{
    AuthenticationChain, ClientCertificates, ServiceAccountTokens, SigningKey, VerifyingKey,
};
use oarlock_apiserver_access::authorization::{
    AuthorizationChain, NodeAuthorizer, Rbac, Superusers, forbidden,
};
use oarlock_apiserver_access::reviews::Reviews;
use oarlock_apiserver_access::token::TokenIssuer;
use oarlock_apiserver_access::{AccessMetrics, Authorizer, Decision, Objects, User};
use oarlock_apiserver_audit::Audit;
use oarlock_apiserver_flow::{Flow, Options};
use oarlock_apiserver_webhook::Clients;
use oarlock_base::{Shutdown, TaskSpawner, Tasks};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admission::Ground;
use crate::aggregate::{self, Aggregator, ServiceEnds};
use crate::body::{Body, wrap};
use crate::cache::{Cache, CachedObjects};
use crate::chain::Peer;
use crate::config::{Config, Error, ServiceAccountKeys};
use crate::custom::{self, Caller, Definitions};
use crate::discovery::Discovery;
use crate::flow_control::{self, InFlight};
use crate::kubelet::{Dialer, client_tls};
use crate::metrics::Metrics;
use crate::registry::services::{ServiceAllocator, parse_ranges};
use crate::registry::{Catalogue, QuotaWriter, Registry, Resources, ServedSurface};
use crate::request_info::RequestInfo;
use crate::{audit, authorise, bootstrap, chain, listen};

/// How long a request waits for a seat at most.
const QUEUE_PATIENCE: Duration = Duration::from_secs(15);

/// What every request may need.
pub(crate) struct Server {
    pub(crate) resources: Arc<Catalogue>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) registry: Registry,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) authenticator: AuthenticationChain,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) tokens: TokenIssuer,
    pub(crate) reviews: Reviews,
    pub(crate) keys: Vec<VerifyingKey>,
    pub(crate) issuer: String,
    pub(crate) dialer: Dialer,
    pub(crate) discovery: Discovery,
    pub(crate) aggregator: Aggregator,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: InFlight,
    pub(crate) flow: Arc<Flow>,
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) ready: watch::Sender<bool>,
    /// Triggered when the server begins to stop: watches end, `/readyz` fails.
    pub(crate) draining: Shutdown,
    pub(crate) tasks: TaskSpawner,
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
        let tls = Arc::new(listen::Tls::new(&config.serving, config.client_ca_pem.as_deref())?);
        let listener = bind(config.bind).await?;
        let address = listener.local_addr().map_err(|source| Error::Bind { address: config.bind, source })?;
        let root = Shutdown::new();
        let mut tasks = Tasks::new("apiserver", &root);
        let resources = Resources::builtin();
        let store =
            crate::encryption::around(config.store.clone(), &config.encryption, &resources, &mut tasks)?;
        let cache = Arc::new(Cache::new(store.clone(), resources.caches()));
        let resources = Arc::new(Catalogue::new(resources));
        let revision = cache.load().await?;
        let objects: Arc<dyn Objects> = Arc::new(CachedObjects {
            cache: cache.clone(),
            resources: resources.clone(),
            tasks: tasks.spawner(),
        });
        let deciders = Deciders::new(&objects);
        let services = allocator(&config, &objects)?;
        let metrics = Metrics::new();
        let flow = Flow::new(
            objects.clone(),
            Options { seats: config.requests_in_flight, patience: QUEUE_PATIENCE },
            tasks.spawner(),
        );
        for collector in flow.metrics().collectors() {
            metrics.registry().register(collector)?;
        }
        let access_metrics = AccessMetrics::new();
        access_metrics.register(metrics.registry())?;
        let clients = Clients::new(Arc::new(ServiceEnds(objects.clone())), tasks.spawner());
        let surface =
            Arc::new(ServedSurface { resources: resources.clone(), conversions: Caller(clients.clone()) });
        let ground = Ground {
            objects: objects.clone(),
            surface,
            authorizer: deciders.authorizer.clone(),
            rbac: deciders.rbac,
            quotas: Arc::new(QuotaWriter { store: store.clone(), resources: resources.clone() }),
            metrics: access_metrics,
        };
        let admission = ground.chain(&config.admission)?;
        let audit = audit::start(config.audit.as_ref(), &clients, metrics.registry(), &mut tasks)?;
        let registry = Registry::new(store, admission, services, Caller(clients));
        let accounts = Accounts::new(&config.service_accounts, &objects)?;
        let server = Arc::new(Server {
            discovery: Discovery::new(),
            aggregator: Aggregator::new(config.front_proxy.clone()),
            authenticator: AuthenticationChain::new(vec![
                Arc::new(ClientCertificates),
                accounts.checker.clone(),
            ]),
            reviews: Reviews::new(accounts.checker, deciders.authorizer.clone()),
            authorizer: deciders.authorizer,
            tokens: accounts.issuer,
            keys: accounts.keys,
            issuer: config.service_accounts.issuer.clone(),
            dialer: Dialer::new(Some(client_tls(&config.kubelet)?), tasks.spawner()),
            metrics,
            in_flight: InFlight::default(),
            flow: flow.clone(),
            audit,
            ready: watch::Sender::new(false),
            draining: tasks.shutdown().child(),
            tasks: tasks.spawner(),
            cleaning: Mutex::default(),
            resources,
            cache: cache.clone(),
            registry,
            objects,
        });
        let follower = cache.clone();
        tasks.spawn("cache", move |stop| async move { follower.follow(revision, stop).await });
        tasks.spawn("bookmarks", move |stop| async move { cache.bookmark_loop(stop).await });
        let definitions = Definitions::at_start(&server).await.map_err(Error::custom)?;
        let defining = server.clone();
        tasks.spawn("custom-resources", move |stop| async move {
            custom::run(&defining, definitions, stop).await
        });
        let nodes = deciders.nodes;
        tasks.spawn("node-authorizer", move |stop| nodes.run(stop));
        let plan = bootstrap::Plan::new(&config, address.port());
        let aggregating = server.clone();
        tasks.spawn("aggregator", move |stop| async move { aggregate::run(&aggregating, stop).await });
        tasks.spawn("flow", move |stop| async move {
            flow.run(stop).await;
            Ok::<_, Infallible>(())
        });
        let keeping = server.clone();
        tasks.spawn("flow-objects", move |stop| async move { flow_control::keep(&keeping, stop).await });
        let starting = server.clone();
        tasks.spawn("bootstrap", move |stop| async move { bootstrap::run(&starting, plan, stop).await });
        Ok(Self { server, listener, tls, tasks, address })
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

    /// Serves until the shutdown: then no new connections, watches end, and requests under way are finished.
    pub fn run(self, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(self.run_to_end(shutdown))
    }

    async fn run_to_end(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { server, listener, tls, mut tasks, .. } = self;
        let whole = tasks.shutdown().clone();
        tasks.spawn("listen", move |stop| async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = listen::accept(&server, &listener, &tls) => {}
                () = stop.wait() => {}
            }
            drop(listener);
            server.draining.trigger();
            listen::drain(&server).await;
            whole.trigger();
            Ok::<_, Infallible>(())
        });
        Ok(tasks.join().await?)
    }
}

/// Makes clients of a server in this process; outlives the [`ApiServer`] that is consumed by running.
#[derive(Clone)]
pub struct Connector {
    server: Arc<Server>,
}

impl Connector {
    /// A client that calls the server in memory as `user`. Authorisation and admission apply.
    pub fn client(&self, user: User) -> kube::Client {
        let (server, peer) = (self.server.clone(), Peer::inside(user));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let answer = chain::handle(server.clone(), peer.clone(), request.map(wrap));
            async move {
                let response: Response<Body> = answer.await;
                Ok::<_, Infallible>(response)
            }
        });
        kube::Client::new(service, "default")
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

/// Who may do what.
struct Deciders {
    rbac: Arc<Rbac>,
    nodes: Arc<NodeAuthorizer>,
    authorizer: Arc<dyn Authorizer>,
}

impl Deciders {
    fn new(objects: &Arc<dyn Objects>) -> Self {
        let bootstrap = oarlock_api::table::bootstrap_objects();
        let roles = bootstrap.get("clusterroles").and_then(|roles| roles.as_array()).into_iter().flatten();
        let node_role = roles.into_iter().find(|role| role["metadata"]["name"] == "system:node");
        let rules = node_role.and_then(|role| role["rules"].as_array()).map_or(&[][..], Vec::as_slice);
        let rbac = Rbac::new(objects.clone());
        let nodes = NodeAuthorizer::new(objects.clone(), rules);
        let links: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Superusers), nodes.clone(), rbac.clone()];
        Self { rbac, nodes, authorizer: Arc::new(AuthorizationChain::new(links)) }
    }
}

/// Tokens of service accounts.
struct Accounts {
    issuer: TokenIssuer,
    checker: Arc<ServiceAccountTokens>,
    keys: Vec<VerifyingKey>,
}

impl Accounts {
    fn new(settings: &ServiceAccountKeys, objects: &Arc<dyn Objects>) -> Result<Self, Error> {
        let failed =
            |error: oarlock_apiserver_access::authentication::KeyError| Error::Keys(error.to_string());
        let signing = SigningKey::from_pem(&settings.signing_pem).map_err(failed)?;
        let mut keys = vec![signing.verifying_key()];
        for pem in &settings.verification_pem {
            for key in VerifyingKey::all_from_pem(pem).map_err(failed)? {
                if !keys.iter().any(|known| known.id() == key.id()) {
                    keys.push(key);
                }
            }
        }
        let issuer = settings.issuer.clone();
        let audiences =
            if settings.audiences.is_empty() { vec![issuer.clone()] } else { settings.audiences.clone() };
        let checker =
            ServiceAccountTokens::new(vec![issuer.clone()], audiences.clone(), keys.clone(), objects.clone());
        let issuer = TokenIssuer::new(issuer, audiences, signing, objects.clone());
        Ok(Self { issuer, checker: Arc::new(checker), keys })
    }
}

fn allocator(config: &Config, objects: &Arc<dyn Objects>) -> Result<ServiceAllocator, Error> {
    let ranges =
        parse_ranges(&config.service_cidr).ok_or_else(|| Error::ServiceRange(config.service_cidr.clone()))?;
    let allocator = ServiceAllocator::new(ranges, config.node_ports.clone());
    let services = objects.list(&GroupResource::new("", "services"), "");
    allocator.adopt(services.iter().map(|service| &**service));
    Ok(allocator)
}
