//! Watches the metadata of every resource that can be deleted, and follows the set of resources as it changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use oarlock_base::Backoff;
use oarlock_client::{Change, Informer, ObjectKey, Selection};
use tracing::{debug, info, warn};

use super::GarbageCollector;
use super::graph::Identity;
use crate::common::discovery::{Served, discover};
use crate::common::projection;

pub(super) type Meta = PartialObjectMeta<DynamicObject>;

/// Upstream's interval of discovery after a failure grows likewise; without one nothing is asked.
const RETRY: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(30));

/// How long the first lists may take before the collector starts with what there is.
const SYNC_WITHIN: Duration = Duration::from_secs(30);

/// A new definition is served a moment after it says so.
const SETTLE: Duration = Duration::from_secs(1);

/// Resources known, by apiVersion and kind, and the informers of those that are watched.
#[derive(Default)]
pub(super) struct Monitors {
    kinds: HashMap<(String, String), Served>,
    watched: HashMap<(String, String), Informer<Meta>>,
}

impl Monitors {
    /// The resource of an owner or dependent.
    pub(super) fn resource(&self, api_version: &str, kind: &str) -> Option<Served> {
        if let Some(served) = self.kinds.get(&(api_version.to_string(), kind.to_string())) {
            return Some(served.clone());
        }
        // A reference may use another version than the preferred one.
        let group = |version: &str| version.split_once('/').map_or("", |(group, _)| group).to_string();
        let same = |known: &&(String, String)| known.1 == kind && group(&known.0) == group(api_version);
        self.kinds.keys().find(same).and_then(|key| self.kinds.get(key)).cloned()
    }
}

impl GarbageCollector {
    /// Runs for as long as the controller: discovers now, and again whenever definitions change.
    pub(super) async fn keep_monitors(self: Arc<Self>) {
        let mut retry = RETRY.start();
        loop {
            match discover(&self.client).await {
                Ok(found) => {
                    let complete = found.failed.is_empty();
                    // What a failing group serves is unknown, not gone.
                    self.follow(found.resources, complete).await;
                    if complete {
                        retry.reset();
                        self.rediscover.notified().await;
                        tokio::time::sleep(SETTLE).await;
                        continue;
                    }
                }
                Err(error) => debug!(error = %error, "discovery failed"),
            }
            if retry.attempts() == 5 {
                warn!("discovery keeps failing; the garbage collector may miss resources");
            }
            tokio::select! {
                () = tokio::time::sleep(retry.next_delay()) => {}
                () = self.rediscover.notified() => {}
            }
        }
    }

    async fn follow(self: &Arc<Self>, resources: Vec<Served>, complete: bool) {
        let mut kinds = HashMap::new();
        for served in resources {
            let resource = &served.resource;
            let name = (resource.api_version.clone(), resource.kind.clone());
            kinds.entry(name).or_insert(served);
        }
        let (gone, new) = {
            let mut monitors = self.monitors.write();
            let gone: Vec<_> = monitors
                .watched
                .keys()
                .filter(|name| complete && !kinds.contains_key(*name))
                .cloned()
                .collect();
            let gone: Vec<_> = gone.iter().filter_map(|name| monitors.watched.remove(name)).collect();
            let new: Vec<Served> = kinds
                .iter()
                .filter(|(name, served)| is_collected(served) && !monitors.watched.contains_key(*name))
                .map(|(_, served)| served.clone())
                .collect();
            if complete {
                monitors.kinds = kinds;
            } else {
                monitors.kinds.extend(kinds);
            }
            (gone, new)
        };
        for informer in &gone {
            self.informers.drop_informer(informer);
        }
        let count = new.len();
        for served in new {
            let informer = self.watch(&served.resource);
            let name = (served.resource.api_version, served.resource.kind);
            self.monitors.write().watched.insert(name, informer);
        }
        self.informers.start();
        // One resource that cannot be listed must not stop the collection of all others.
        if tokio::time::timeout(SYNC_WITHIN, self.informers.synced()).await.is_err() {
            warn!("some resources could not be listed; the garbage collector starts without them");
        }
        self.ready.send_replace(true);
        if count > 0 || !gone.is_empty() {
            info!(new = count, gone = gone.len(), "garbage collector follows the resources");
        }
    }

    fn watch(self: &Arc<Self>, resource: &ApiResource) -> Informer<Meta> {
        let gvk = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &resource.plural);
        let (api_version, kind): (Arc<str>, Arc<str>) =
            (resource.api_version.as_str().into(), resource.kind.as_str().into());
        let definitions = resource.plural == "customresourcedefinitions" || resource.plural == "apiservices";
        let informer = self.informers.dynamic::<Meta>(resource, Selection::all());
        informer.project(projection::meta);
        let collector = self.clone();
        informer.subscribe(move |change| {
            collector.changed(change, &api_version, &kind);
            if definitions {
                collector.rediscover.notify_one();
            }
        });
        informer
    }

    fn changed(&self, change: &Change<Meta>, api_version: &Arc<str>, kind: &Arc<str>) {
        let object = change.object();
        let Some(uid) = object.metadata.uid.as_deref() else { return };
        let looks = if let Change::Deleted(_) = change {
            self.graph.lock().remove(uid)
        } else {
            let key = ObjectKey::of(&**object);
            let identity = Identity {
                api_version: api_version.clone(),
                kind: kind.clone(),
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
            };
            self.graph.lock().upsert(uid, identity, &object.metadata)
        };
        self.enqueue(looks);
    }
}

/// Events come and go by themselves; what cannot be deleted or watched cannot be collected.
fn is_collected(served: &Served) -> bool {
    served.resource.plural != "events" && ["delete", "list", "watch"].iter().all(|verb| served.can(verb))
}
