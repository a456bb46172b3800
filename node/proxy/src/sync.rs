//! The loop: what has changed since the last round becomes one transaction.

use futures::future::BoxFuture;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::{Connection, Route};
use oarlock_base::{Backoff, Shutdown, Tasks};
use oarlock_client::{Informer, Informers, ObjectKey};
use oarlock_telemetry::Health;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::compile::{Elements, Installed, elements};
use crate::nft::{Ruleset, forget_flows};
use crate::services::entries;
use crate::{Config, ProxyError};

/// Slices name their Service in this label (KEP-752).
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const BY_SERVICE: &str = "service";
/// After a refused transaction.
const RETRY: Backoff =
    Backoff::doubling(Duration::from_millis(100), Duration::from_secs(30)).with_jitter(0.2);

/// Runs until told to stop, and leaves the rules in the kernel: Services go on working while kube-proxy restarts.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ProxyError>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(config: Config, shutdown: Shutdown) -> Result<(), ProxyError> {
    let mut tasks = Tasks::new("kube-proxy", &shutdown);
    let informers = Informers::new(config.client.clone(), tasks.spawner());
    let services = informers.of::<Service>();
    let slices = informers.of::<EndpointSlice>();
    slices.add_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    slices.project(|slice| slice.metadata.managed_fields = None);
    let dirty = Arc::new(Dirty::default());
    let mark = dirty.clone();
    services.subscribe(move |change| mark.add(ObjectKey::of(change.object().as_ref())));
    let mark = dirty.clone();
    slices.subscribe(move |change| {
        if let Some(key) = service_of(change.object()) {
            mark.add(key);
        }
    });
    informers.start();

    let synced = Arc::new(AtomicBool::new(false));
    if let Some(address) = config.health_address {
        let (health, spawner, seen) = (Health::new(), tasks.spawner(), synced.clone());
        health.add(
            "sync",
            move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("not synced".into()) },
        );
        tasks.spawn("health", |stop| crate::health::serve(address, health, spawner, stop));
    }
    let syncer = Syncer { services, slices, dirty, node_name: config.node_name.clone(), synced };
    tasks.spawn("sync", move |stop| async move {
        route_services(&config).await?;
        let ruleset = Ruleset::open(config.cluster_cidr, config.service_cidr)?;
        stop.or(async {
            syncer.services.synced().await;
            syncer.slices.synced().await;
        })
        .await;
        syncer.run(ruleset, config.ready, stop).await
    });
    Ok(tasks.join().await?)
}

fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// The Services that have changed. Bounded by the number of Services.
#[derive(Default)]
struct Dirty {
    keys: Mutex<HashSet<ObjectKey>>,
    changed: Notify,
}

impl Dirty {
    fn add(&self, key: ObjectKey) {
        if self.keys.lock().insert(key) {
            self.changed.notify_one();
        }
    }

    fn take(&self) -> HashSet<ObjectKey> {
        std::mem::take(&mut self.keys.lock())
    }
}

struct Syncer {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    dirty: Arc<Dirty>,
    node_name: String,
    synced: Arc<AtomicBool>,
}

impl Syncer {
    async fn run(
        self,
        ruleset: Ruleset,
        mut ready: Option<tokio::sync::oneshot::Sender<()>>,
        stop: Shutdown,
    ) -> Result<(), ProxyError> {
        let mut installed = Installed::default();
        let mut retry = RETRY.start();
        let mut fresh = false;
        while !stop.is_triggered() {
            let delta = installed.replace(self.batch());
            if fresh && delta.is_empty() {
                stop.or(self.dirty.changed.notified()).await;
                continue;
            }
            let done =
                if fresh { ruleset.apply(&delta).await } else { ruleset.reset(&installed.all()).await };
            match done {
                Ok(()) => {
                    if let Err(e) = forget_flows(&delta.stale_flows).await {
                        warn!(error = %e, "UDP flows to endpoints that are gone may stall");
                    }
                    if let Some(ready) = ready.take() {
                        info!("service rules in place");
                        // Nobody has to wait for us.
                        let _ = ready.send(());
                    }
                    (fresh, retry) = (true, RETRY.start());
                    self.synced.store(true, Ordering::Relaxed);
                }
                Err(e) => {
                    // Somebody may have changed our table: the next round writes all of it again.
                    let source = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default();
                    warn!(error = %e, source, "the service rules will be replaced as a whole");
                    fresh = false;
                    stop.or(tokio::time::sleep(retry.next_delay())).await;
                }
            }
        }
        Ok(())
    }

    fn batch(&self) -> Vec<(ObjectKey, Elements)> {
        self.dirty
            .take()
            .into_iter()
            .map(|key| {
                let elements = match self.services.store().get_key(&key) {
                    None => Elements::default(),
                    Some(service) => {
                        let slices = self.slices.store().by_index(BY_SERVICE, &key.to_string());
                        elements(&entries(&service, slices.iter().map(AsRef::as_ref), &self.node_name))
                    }
                };
                (key, elements)
            })
            .collect()
    }
}

/// The node itself reaches cluster addresses too: without a route that covers them its packets would have no source
/// address to start from. They never leave by it: they are translated, or rejected, first.
async fn route_services(config: &Config) -> Result<(), ProxyError> {
    let failed = |source| ProxyError::Netlink { tried: "route the service range", source };
    let connection = Connection::<Route>::new().map_err(failed)?;
    let route = Ipv4Route::from_addr(config.service_cidr.address(), config.service_cidr.prefix())
        .dev("lo")
        .prefsrc(config.node_ip);
    connection.replace_route(route).await.map_err(failed)
}
