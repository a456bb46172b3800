//! The parts of a server put together in the order in which they need each other, and the tasks that keep it going.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use oarlock_api::GroupResource;
use oarlock_apiserver_access::authentication::AuthenticationParts;
use oarlock_apiserver_access::authorization::NodeAuthorizer;
use oarlock_apiserver_access::impersonate::Impersonator;
use oarlock_apiserver_access::reviews::Reviews;
use oarlock_apiserver_access::{AccessMetrics, Objects};
use oarlock_apiserver_encryption::Encryption;
use oarlock_apiserver_flow::{Flow, Options};
use oarlock_apiserver_webhook::Clients;
use oarlock_base::{Shutdown, Tasks};
use oarlock_store::{Revision, Store};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::access::{self, Accounts, Deciders};
use crate::admission::Ground;
use crate::aggregate::{self, Aggregator, ServiceEnds};
use crate::authorities::Believed;
use crate::cache::{Cache, CachedObjects};
use crate::config::{self, Config, Error};
use crate::custom::{self, Caller, Definitions};
use crate::discovery::Discovery;
use crate::flow_control::{self, InFlight, MaxInFlight};
use crate::health::{self, Health};
use crate::kubelet::Dialer;
use crate::metrics::Metrics;
use crate::policies;
use crate::registry::services::{self, Finding, ServiceAllocator, parse_ranges};
use crate::registry::{Catalogue, Habits, Keys, QuotaWriter, Registry, Resources, ServedSurface};
use crate::server::{Connector, Server};
use crate::{audit, bootstrap, encryption, legacy_tokens};

/// How long a request waits for a seat at most.
const QUEUE_PATIENCE: Duration = Duration::from_secs(15);

/// What everything else stands on: the store, and the cache that has read it.
struct Foundation {
    store: Arc<dyn Store>,
    encryption: Option<Arc<Encryption>>,
    /// What of it the caches were read with.
    keys: u64,
    cache: Arc<Cache>,
    resources: Arc<Catalogue>,
    objects: Arc<dyn Objects>,
    revision: Revision,
}

impl Foundation {
    async fn read(config: &Config, metrics: &Metrics, tasks: &mut Tasks) -> Result<Self, Error> {
        let resources = Resources::kept_as(config.storage_media_type, &config.runtime_config);
        let (store, encryption) =
            encryption::around(config.store.clone(), &config.encryption, &resources, metrics, tasks)?;
        let keys = encryption.as_ref().map_or(0, |encryption| encryption.generation());
        let cache = Arc::new(Cache::new(store.clone(), resources.caches()));
        let resources = Arc::new(Catalogue::new(resources));
        let revision = cache.load().await?;
        let objects: Arc<dyn Objects> = Arc::new(CachedObjects {
            cache: cache.clone(),
            resources: resources.clone(),
            tasks: tasks.spawner(),
        });
        Ok(Self { store, encryption, keys, cache, resources, objects, revision })
    }
}

/// A server whose tasks run among `tasks`.
pub(crate) async fn assemble(config: &Config, port: u16, tasks: &mut Tasks) -> Result<Arc<Server>, Error> {
    let metrics = metrics(config);
    let ground = Foundation::read(config, &metrics, tasks).await?;
    let access_metrics = AccessMetrics::new();
    access_metrics.register(metrics.registry())?;
    let clients = Clients::new(Arc::new(ServiceEnds(ground.objects.clone())), tasks.spawner());
    let deciders = Deciders::new(config, &ground.objects, &clients, tasks)?;
    let accounts = Accounts::new(config, &ground.objects)?;
    let parts = AuthenticationParts {
        objects: ground.objects.clone(),
        service_accounts: accounts.checker.clone(),
        clients: clients.clone(),
        metrics: access_metrics.clone(),
    };
    let authentication = access::authentication(config, parts, tasks)?;
    let surface =
        Arc::new(ServedSurface { resources: ground.resources.clone(), conversions: Caller(clients.clone()) });
    let admission = Ground {
        objects: ground.objects.clone(),
        surface: surface.clone(),
        authorizer: deciders.authorizer.clone(),
        rbac: deciders.rbac.clone(),
        quotas: Arc::new(QuotaWriter { store: ground.store.clone(), resources: ground.resources.clone() }),
        clients: clients.clone(),
        metrics: access_metrics,
    };
    let world = admission.world();
    let admission = admission.chain(&config.admission, &config.running.features)?;
    oarlock_apiserver_admission::register_metrics(metrics.registry())?;
    let flow = match config.in_flight.fair {
        true => Some(flow(config, &ground.objects, &metrics, tasks)?),
        false => None,
    };
    let audit = audit::start(config.audit.as_ref(), &clients, metrics.registry(), tasks)?;
    let (services, found) = allocator(config, &ground).await?;
    let keys = ground.encryption.clone().map(|encryption| Keys { encryption, read_with: ground.keys });
    let habits = Habits::of(&config.running);
    let server = Arc::new(Server {
        discovery: Discovery::new(),
        aggregator: Aggregator::new(config.front_proxy.clone()),
        authenticator: authentication.clone(),
        reviews: Reviews::with(authentication, deciders.authorizer.clone()),
        impersonator: Impersonator::new(deciders.authorizer.clone()),
        authorizer: deciders.authorizer,
        tokens: accounts.issuer,
        keys: accounts.keys,
        issuer: config.service_accounts.issuer.clone(),
        jwks_uri: access::jwks_uri(config, port),
        external_address: external_address(config, port),
        dialer: Dialer::new(&config.kubelet, tasks.spawner())?,
        metrics,
        in_flight: InFlight::default(),
        flow,
        limits: MaxInFlight::new(&config.in_flight),
        audit,
        ready: watch::Sender::new(false),
        flow_objects: watch::Sender::new(false),
        health: health(config, ground.encryption.as_deref()),
        believed: watch::Sender::new(Arc::new(Believed::at_start(config))),
        encryption: ground.encryption,
        stopping: Shutdown::new(),
        refusing: Shutdown::new(),
        draining: tasks.shutdown().child(),
        request_timeout: config.running.request_timeout,
        min_request_timeout: config.running.min_request_timeout,
        goaway_chance: config.running.goaway_chance,
        manners: config.running.manners.clone(),
        delete_workers: config.running.delete_workers.max(1),
        features: config.running.features.clone(),
        compresses: config.running.features.is_on("APIResponseCompression"),
        flags: config.running.flags.clone(),
        started: jiff::Timestamp::now(),
        tasks: tasks.spawner(),
        connections: TaskTracker::new(),
        cleaning: Mutex::default(),
        registry: Registry::new(ground.store, admission, services, Caller(clients), (world, habits))
            .with_keys(keys),
        resources: ground.resources,
        cache: ground.cache,
        objects: ground.objects,
    });
    let revision = ground.revision;
    let follower = server.cache.clone();
    tasks.spawn("cache", move |stop| async move { follower.follow(revision, stop).await });
    let definitions = Definitions::at_start(&server).await.map_err(Error::custom)?;
    spawn_keepers(&server, definitions, deciders.nodes, tasks);
    keep_services(&server, found, tasks);
    let using = Connector { server: server.clone() };
    tasks.spawn("legacy-tokens", move |stop| legacy_tokens::mark(using, accounts.uses, stop));
    let plan = bootstrap::Plan::new(config, port);
    let starting = server.clone();
    tasks.spawn("bootstrap", move |stop| async move { bootstrap::run(&starting, plan, stop).await });
    Ok(server)
}

fn metrics(config: &Config) -> Metrics {
    let metrics = Metrics::new(config.running.manners.size_every);
    metrics.features(&config.running.features);
    metrics.build(&crate::discovery::version());
    metrics
}

/// The loops beside the requests.
fn spawn_keepers(
    server: &Arc<Server>,
    definitions: Definitions,
    nodes: Arc<NodeAuthorizer>,
    tasks: &mut Tasks,
) {
    let cache = server.cache.clone();
    tasks.spawn("bookmarks", move |stop| async move { cache.bookmark_loop(stop).await });
    let defining = server.clone();
    tasks.spawn(
        "custom-resources",
        move |stop| async move { custom::run(&defining, definitions, stop).await },
    );
    tasks.spawn("node-authorizer", move |stop| nodes.run(stop));
    let aggregating = server.clone();
    tasks.spawn("aggregator", move |stop| async move { aggregate::run(&aggregating, stop).await });
    if let Some(flow) = server.flow.clone() {
        tasks.spawn("flow", move |stop| async move {
            flow.run(stop).await;
            Ok::<_, Infallible>(())
        });
    }
    let keeping = server.clone();
    tasks.spawn("flow-objects", move |stop| async move { flow_control::keep(&keeping, stop).await });
    let checking = server.clone();
    tasks.spawn("policy-types", move |stop| async move { policies::run(&checking, stop).await });
}

/// The loops that keep what services are given.
fn keep_services(server: &Arc<Server>, found: Vec<Finding>, tasks: &mut Tasks) {
    let ranges = server.clone();
    tasks.spawn("service-ranges", move |stop| async move { services::keep_ranges(&ranges, stop).await });
    let allocations = server.clone();
    tasks.spawn("service-allocations", move |stop| async move {
        services::keep_allocations(&allocations, found, stop).await
    });
}

/// Where clients are told that this server is.
fn external_address(config: &Config, port: u16) -> String {
    match config.running.external_host.as_deref() {
        Some(host) if host.contains(':') => format!("[{host}]:{port}"),
        Some(host) => format!("{host}:{port}"),
        None => std::net::SocketAddr::new(config.advertise, port).to_string(),
    }
}

fn health(config: &Config, encryption: Option<&Encryption>) -> Health {
    Health::new(&health::Parts {
        fair: config.in_flight.fair,
        reloads_encryption: matches!(config.encryption, config::Encryption::File { reload: true, .. }),
        plugins: encryption.is_some_and(Encryption::has_kms),
        store_patience: config.running.store_patience,
        livez_grace: config.running.manners.livez_grace,
    })
}

fn flow(
    config: &Config,
    objects: &Arc<dyn Objects>,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Result<Arc<Flow>, Error> {
    let seats = config.in_flight.reads.saturating_add(config.in_flight.writes);
    let options = Options { seats, patience: QUEUE_PATIENCE };
    let flow = Flow::new(objects.clone(), options, tasks.spawner());
    for collector in flow.metrics().collectors() {
        metrics.registry().register(collector)?;
    }
    Ok(flow)
}

/// The allocator of what services are given, in line with the stored services, and what had to be put right.
async fn allocator(config: &Config, ground: &Foundation) -> Result<(ServiceAllocator, Vec<Finding>), Error> {
    let ranges =
        parse_ranges(&config.service_cidr).ok_or_else(|| Error::ServiceRange(config.service_cidr.clone()))?;
    let addresses = GroupResource::new("networking.k8s.io", "ipaddresses");
    let addresses = ground.resources.cached(&addresses).expect("IPAddresses are built in").storage.clone();
    let (store, objects) = (ground.store.clone(), ground.objects.clone());
    let allocator = ServiceAllocator::new(store, objects, addresses, ranges, config.node_ports.clone());
    let repaired = allocator.repair(&mut BTreeMap::new()).await;
    let found = repaired.map_err(|status| Error::Bootstrap {
        what: "the service allocations".into(),
        status: Box::new(status),
    })?;
    Ok((allocator, found))
}
