//! Watches the resources that quotas count, and no others: nothing is watched while there is no quota.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use oarlock_api::GroupResource;
use oarlock_client::{Change, Informer, Selection};
use oarlock_quota::{Amounts, Facts, Selector, Tracked};

use super::counted::Counted;
use super::{Key, ResourceQuotaController, plan};
use crate::common::context::BY_NAMESPACE;
use crate::common::discovery::discover;
use crate::common::projection;

/// How long the first list of a resource is waited for; its limits are left out meanwhile.
const SYNC_WITHIN: Duration = Duration::from_secs(10);

/// A new definition is served a moment after it says so.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum Monitor {
    /// What an object uses is in it.
    Measured(Informer<Counted<false>>),
    /// Each object counts as one.
    Numbered(Informer<Counted<true>>),
}

/// A resource that is watched, in the version that it is watched in.
struct Watched {
    version: String,
    monitor: Monitor,
}

#[derive(Default)]
pub(super) struct Monitors {
    watched: HashMap<GroupResource, Watched>,
    /// Resources that can be counted, and their preferred version. `None`: not asked yet.
    served: Option<HashMap<GroupResource, String>>,
}

impl ResourceQuotaController {
    /// What is used of the named limits of one resource in a namespace, and when that changes by itself. `None` when the
    /// resource is not served, or could not be listed yet.
    pub(super) async fn count(
        self: &Arc<Self>,
        resource: &GroupResource,
        namespace: &str,
        names: &BTreeSet<String>,
        scopes: &[Selector],
        now: Timestamp,
    ) -> kube::Result<Option<(Amounts, Option<Timestamp>)>> {
        let Some(version) = self.version_of(resource).await? else { return Ok(None) };
        match self.monitor(resource, &version) {
            Monitor::Measured(informer) => {
                if !is_synced_soon(informer.synced()).await {
                    return Ok(None);
                }
                let objects = informer.store().by_index(BY_NAMESPACE, namespace);
                let facts = objects.iter().filter_map(|object| object.facts.as_ref());
                Ok(Some(plan::sum(names, scopes, facts, now)))
            }
            Monitor::Numbered(informer) => {
                if !is_synced_soon(informer.synced()).await {
                    return Ok(None);
                }
                let objects = informer.store().count_by_index(BY_NAMESPACE, namespace);
                Ok(Some((plan::number(names, scopes, objects), None)))
            }
        }
    }

    async fn version_of(self: &Arc<Self>, resource: &GroupResource) -> kube::Result<Option<String>> {
        if plan::is_well_known(resource) {
            return Ok(Some("v1".into()));
        }
        let known =
            |monitors: &Monitors| monitors.served.as_ref().map(|served| served.get(resource).cloned());
        let asked = known(&self.monitors.lock());
        if let Some(version) = asked {
            return Ok(version);
        }
        if !self.discover().await? {
            self.queue.add_after(Key::Discover, SETTLE);
        }
        Ok(known(&self.monitors.lock()).flatten())
    }

    pub(super) fn is_served(&self, resource: &GroupResource) -> bool {
        let monitors = self.monitors.lock();
        plan::is_well_known(resource)
            || monitors.served.as_ref().is_some_and(|served| served.contains_key(resource))
    }

    /// Asks what is served; says whether all groups answered. From the first time on the definitions are watched, to ask
    /// again.
    pub(super) async fn discover(self: &Arc<Self>) -> kube::Result<bool> {
        self.follow_definitions();
        let found = discover(&self.client).await?;
        let complete = found.failed.is_empty();
        let countable = found.resources.into_iter().filter(|served| served.namespaced && served.can("list"));
        let mut served: HashMap<GroupResource, String> = countable
            .filter(|served| served.can("watch"))
            .map(|it| (GroupResource::new(&it.resource.group, &it.resource.plural), it.resource.version))
            .collect();
        let gone = {
            let mut monitors = self.monitors.lock();
            if !complete {
                // What a failing group serves is unknown, not gone.
                let before = monitors.served.take().unwrap_or_default();
                for (resource, version) in before {
                    served.entry(resource).or_insert(version);
                }
            }
            let stale = |(resource, watched): (&GroupResource, &Watched)| {
                let current = plan::is_well_known(resource) || served.get(resource) == Some(&watched.version);
                (!current).then(|| resource.clone())
            };
            let gone: Vec<GroupResource> = monitors.watched.iter().filter_map(stale).collect();
            monitors.served = Some(served);
            gone.iter().filter_map(|resource| monitors.watched.remove(resource)).collect::<Vec<_>>()
        };
        gone.into_iter().for_each(|watched| self.end(watched.monitor));
        Ok(complete)
    }

    fn follow_definitions(self: &Arc<Self>) {
        let definitions = [
            ("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
            ("apiregistration.k8s.io", "APIService", "apiservices"),
        ];
        if self.follows_definitions.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        for (group, kind, plural) in definitions {
            let gvk = GroupVersionKind::gvk(group, "v1", kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let informer =
                self.informers.dynamic::<PartialObjectMeta<DynamicObject>>(resource, Selection::all());
            informer.project(projection::meta);
            let controller = self.clone();
            informer.subscribe(move |_| controller.queue.add_after(Key::Discover, SETTLE));
        }
        self.informers.start();
    }

    /// The monitor of a resource, started if need be.
    fn monitor(self: &Arc<Self>, resource: &GroupResource, version: &str) -> Monitor {
        let mut monitors = self.monitors.lock();
        if let Some(watched) = monitors.watched.get(resource) {
            return watched.monitor.clone();
        }
        // The kind is not part of any path.
        let gvk = GroupVersionKind::gvk(&resource.group, version, "");
        let api = ApiResource::from_gvk_with_plural(&gvk, &resource.resource);
        let tracked = Tracked::of(resource);
        let monitor = if tracked == Tracked::Objects {
            Monitor::Numbered(self.watch(api, resource, |_| None))
        } else {
            let measured = resource.clone();
            Monitor::Measured(
                self.watch(api, resource, move |object| Some(tracked.measure(&measured, object))),
            )
        };
        let watched = Watched { version: version.into(), monitor: monitor.clone() };
        monitors.watched.insert(resource.clone(), watched);
        self.informers.start();
        monitor
    }

    fn watch<const META: bool>(
        self: &Arc<Self>,
        api: ApiResource,
        resource: &GroupResource,
        facts: impl Fn(&serde_json::Value) -> Option<Facts> + Send + Sync + 'static,
    ) -> Informer<Counted<META>> {
        let informer = self.informers.dynamic::<Counted<META>>(api, Selection::all());
        informer.project(move |counted| counted.facts = facts(&std::mem::take(&mut counted.object)));
        informer.add_index(BY_NAMESPACE, |counted| counted.metadata.namespace.clone().into_iter().collect());
        let (controller, resource) = (self.clone(), resource.clone());
        informer.subscribe(move |change| {
            // What is new was charged when it was admitted.
            let object = match change {
                Change::Added(_) => return,
                Change::Updated { old, new } if old.facts == new.facts => return,
                Change::Updated { new, .. } => new,
                Change::Deleted(old) => old,
            };
            controller.replenish(&resource, object.metadata.namespace.as_deref().unwrap_or_default());
        });
        informer
    }

    /// Ends the watches that no quota needs any more.
    pub(super) fn trim(&self) {
        let needed: HashSet<GroupResource> =
            self.quotas.list().iter().flat_map(|quota| plan::resources(quota).into_keys()).collect();
        let idle: Vec<Watched> = {
            let mut monitors = self.monitors.lock();
            let idle: Vec<GroupResource> =
                monitors.watched.keys().filter(|resource| !needed.contains(*resource)).cloned().collect();
            idle.iter().filter_map(|resource| monitors.watched.remove(resource)).collect()
        };
        idle.into_iter().for_each(|watched| self.end(watched.monitor));
    }

    fn end(&self, monitor: Monitor) {
        match monitor {
            Monitor::Measured(informer) => self.informers.drop_informer(&informer),
            Monitor::Numbered(informer) => self.informers.drop_informer(&informer),
        }
    }
}

async fn is_synced_soon(synced: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(SYNC_WITHIN, synced).await.is_ok()
}
