//! What authorisation and admission read: the cache itself, without a request in between.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::{ObjectEvent, Objects};
use oarlock_base::TaskSpawner;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Cache, ChangeKind, Filter, ResourceCache, WatchEvent, WatchStart};
use crate::registry::Catalogue;

/// Events that a subscriber may lag behind before the cache's queue fills, too.
const SUBSCRIPTION: usize = 256;

pub(crate) struct CachedObjects {
    pub(crate) cache: Arc<Cache>,
    pub(crate) resources: Arc<Catalogue>,
    pub(crate) tasks: TaskSpawner,
}

impl CachedObjects {
    fn cached(&self, resource: &GroupResource) -> Option<Arc<ResourceCache>> {
        self.resources.cached(resource)
    }

    fn look_up(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let cached = self.cached(resource)?;
        Some(cached.get(namespace, name)?.value(cached.storage.keep_parsed))
    }
}

#[async_trait]
impl Objects for CachedObjects {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.look_up(resource, namespace, name)
    }

    async fn get_fresh(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        self.cache.fresh().await.map_err(crate::registry::store_failed)?;
        Ok(self.look_up(resource, namespace, name))
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Value>> {
        let Some(cached) = self.cached(resource) else { return Vec::new() };
        let snapshot = cached.snapshot();
        snapshot.iter(namespace, None).map(|entry| entry.value(cached.storage.keep_parsed)).collect()
    }

    fn generation(&self, resource: &GroupResource) -> u64 {
        self.cached(resource).map_or(0, |cached| cached.generation())
    }

    fn subscribe(&self, resource: &GroupResource) -> mpsc::Receiver<ObjectEvent> {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION);
        if let Some(cached) = self.cached(resource) {
            let (cache, stop) = (self.cache.clone(), self.tasks.shutdown().clone());
            self.tasks.spawn("object-subscription", async move {
                // The shutdown ends it as well as a receiver that is gone.
                let _ = stop.or(forward(&cache, &cached, &sender)).await;
            });
        }
        receiver
    }
}

/// All that exists, then every change; from the start again whenever the cache cut us off. Ends with the receiver.
async fn forward(cache: &Cache, cached: &ResourceCache, sender: &mpsc::Sender<ObjectEvent>) {
    loop {
        let start = WatchStart::State { announce: false };
        let Ok(mut reader) = cached.watch(Filter::default(), start, false, cache.revision()) else { return };
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                () = sender.closed() => return,
            };
            let told = match event {
                None => break,
                Some(WatchEvent::Bookmark { .. }) => continue,
                Some(WatchEvent::Change { kind, entry, .. }) => {
                    let value = entry.value(cached.storage.keep_parsed);
                    if kind == ChangeKind::Deleted {
                        ObjectEvent::Deleted(value)
                    } else {
                        ObjectEvent::Applied(value)
                    }
                }
            };
            if sender.send(told).await.is_err() {
                return;
            }
        }
        if sender.send(ObjectEvent::Reset).await.is_err() {
            return;
        }
    }
}
