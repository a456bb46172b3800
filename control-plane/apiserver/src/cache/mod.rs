//! The watch cache: every object as the bytes that go on the wire, fed by one watch of the store.
//!
//! GET, LIST and WATCH are answered from here; the store is asked only for its revision, so that a read sees every
//! write acknowledged before it, and for pages of a past revision. Next: `encode`.

mod entry;
mod objects;
mod resource;
mod snapshot;
mod watcher;

pub(crate) use entry::{Entry, Filter};
pub(crate) use objects::CachedObjects;
pub(crate) use resource::{ResourceCache, WatchStart};
pub(crate) use snapshot::Snapshot;
pub(crate) use watcher::{Change, ChangeKind, WatchEvent, WatchReader};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use oarlock_base::{Backoff, Shutdown};
use oarlock_store::{ListOptions, Revision, Store, StoreError, WatchBatch};
use tokio::sync::{Notify, watch};

use crate::registry::{ROOT, Storage};

/// How often watchers that ask for bookmarks get one.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

pub(crate) struct Cache {
    store: Arc<dyn Store>,
    resources: Vec<Arc<ResourceCache>>,
    /// Which resource keys below `/registry/` belong to: by first segment, or by the first two.
    by_prefix: HashMap<Box<[u8]>, usize>,
    /// The revision up to which everything has been taken over.
    progress: watch::Sender<u64>,
    /// The store's watch is open and feeds us.
    following: AtomicBool,
    bookmark_wanted: Notify,
}

impl Cache {
    pub(crate) fn new(store: Arc<dyn Store>, storages: impl IntoIterator<Item = Arc<Storage>>) -> Self {
        let resources: Vec<_> = storages.into_iter().map(|s| Arc::new(ResourceCache::new(s))).collect();
        let by_prefix = resources
            .iter()
            .enumerate()
            .map(|(index, resource)| {
                let prefix = &resource.storage.prefix[ROOT.len()..resource.storage.prefix.len() - 1];
                (prefix.as_bytes().into(), index)
            })
            .collect();
        Self {
            store,
            resources,
            by_prefix,
            progress: watch::Sender::new(0),
            following: AtomicBool::new(false),
            bookmark_wanted: Notify::new(),
        }
    }

    pub(crate) fn resources(&self) -> &[Arc<ResourceCache>] {
        &self.resources
    }

    /// Whether changes of the store arrive here.
    pub(crate) fn is_following(&self) -> bool {
        self.following.load(Ordering::Acquire)
    }

    /// The revision up to which everything has been taken over.
    pub(crate) fn revision(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Waits until a read here sees all that was acknowledged before now; gives that revision.
    pub(crate) async fn fresh(&self) -> Result<u64, StoreError> {
        let revision = self.store.revision().await?;
        Ok(self.reached(revision.0).await)
    }

    /// Waits until the cache has taken `revision` over; gives how far it is.
    pub(crate) async fn reached(&self, revision: u64) -> u64 {
        let now = self.revision();
        if now >= revision {
            return now;
        }
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|now| *now >= revision).await;
        *reached.expect("the sender lives in self")
    }

    /// Like [`reached`](Self::reached), but gives up after `patience` with how far the cache is.
    pub(crate) async fn reached_within(&self, revision: u64, patience: Duration) -> Result<u64, u64> {
        tokio::time::timeout(patience, self.reached(revision)).await.map_err(|_| self.revision())
    }

    /// Somebody watches with bookmarks: the shared timer may have to start.
    pub(crate) fn want_bookmarks(&self) {
        self.bookmark_wanted.notify_one();
    }

    /// Reads the whole store once. After it the cache can serve.
    pub(crate) async fn load(&self) -> Result<Revision, StoreError> {
        let listing = self.store.list(ROOT.as_bytes(), ListOptions::default()).await?;
        let mut entries: Vec<Vec<Arc<Entry>>> = self.resources.iter().map(|_| Vec::new()).collect();
        for kv in &listing.items {
            if let Some(index) = self.owner(&kv.key)
                && let Some(entry) = Entry::read(&self.resources[index].storage, kv, kv.mod_revision.0)
            {
                entries[index].push(Arc::new(entry));
            }
        }
        for (resource, entries) in self.resources.iter().zip(entries) {
            resource.reset(entries, listing.revision.0);
        }
        self.progress.send_replace(listing.revision.0);
        Ok(listing.revision)
    }

    /// Follows the store until the shutdown. A broken watch starts again from a fresh reading.
    pub(crate) async fn follow(&self, mut from: Revision, stop: Shutdown) -> Result<(), StoreError> {
        let mut backoff = Backoff::doubling(Duration::from_millis(10), Duration::from_secs(5)).start();
        loop {
            let ended = stop.or(self.follow_once(from)).await;
            self.following.store(false, Ordering::Release);
            let Some(ended) = ended else { return Ok(()) };
            tracing::warn!(error = %ended, "the watch of the store broke; reading it again");
            loop {
                match self.load().await {
                    Ok(revision) => {
                        from = revision;
                        backoff.reset();
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the store cannot be read");
                        if stop.or(tokio::time::sleep(backoff.next_delay())).await.is_none() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    async fn follow_once(&self, from: Revision) -> StoreError {
        let mut changes = match self.store.watch(ROOT.as_bytes(), from).await {
            Ok(changes) => changes,
            Err(error) => return error,
        };
        self.following.store(true, Ordering::Release);
        loop {
            match changes.next().await {
                Some(Ok(batch)) => self.apply(&batch),
                Some(Err(error)) => return error,
                None => return StoreError::Unavailable("the watch ended".into()),
            }
        }
    }

    fn apply(&self, batch: &WatchBatch) {
        for event in &batch.events {
            if let Some(index) = self.owner(&event.now.key) {
                self.resources[index].apply(event);
            }
        }
        self.progress.send_if_modified(|now| {
            let moved = batch.revision.0 > *now;
            *now = batch.revision.0.max(*now);
            moved
        });
    }

    /// Sends bookmarks once a period while anybody wants them, and sleeps without a timer while nobody does.
    pub(crate) async fn bookmark_loop(&self, stop: Shutdown) -> Result<(), StoreError> {
        loop {
            if stop.or(self.bookmark_wanted.notified()).await.is_none() {
                return Ok(());
            }
            loop {
                if stop.or(tokio::time::sleep(BOOKMARK_PERIOD)).await.is_none() {
                    return Ok(());
                }
                let revision = self.revision();
                let mut wanted = false;
                for resource in &self.resources {
                    wanted |= resource.bookmark(revision);
                }
                if !wanted {
                    break;
                }
            }
        }
    }

    fn owner(&self, key: &[u8]) -> Option<usize> {
        let key = key.strip_prefix(ROOT.as_bytes())?;
        let mut slashes = memchr::memchr_iter(b'/', key);
        let first = slashes.next()?;
        if let Some(index) = self.by_prefix.get(&key[..first]) {
            return Some(*index);
        }
        let second = slashes.next()?;
        self.by_prefix.get(&key[..second]).copied()
    }
}
