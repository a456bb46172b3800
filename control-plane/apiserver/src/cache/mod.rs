//! The watch cache: every object as the bytes that go on the wire, fed by one watch of the store.
//!
//! GET, LIST and WATCH are answered from here; the store is asked only for its revision, so that a read sees every
//! write acknowledged before it, and for pages of a past revision. Next: `encode`.

mod changes;
mod draft;
mod entry;
mod faults;
mod objects;
mod resource;
mod snapshot;
mod watcher;

pub(crate) use changes::Changes;
pub(crate) use draft::{Drafts, Offer};
pub(crate) use entry::{Entry, Filter, Unreadable};
pub(crate) use objects::CachedObjects;
pub(crate) use resource::{ResourceCache, WatchStart};
pub(crate) use snapshot::Snapshot;
pub(crate) use watcher::{Batch, Change, ChangeKind, Told, WatchEvent, WatchReader};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use oarlock_base::{Backoff, Shutdown};
use oarlock_store::{Event, ListOptions, Revision, Store, StoreError, WatchBatch};
use tokio::sync::{Notify, watch};

use crate::registry::ROOT;

/// Changes that are here already are taken over together, up to this many.
const TOGETHER: usize = 64;

/// How often watchers that ask for bookmarks get one.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

pub(crate) struct Cache {
    store: Arc<dyn Store>,
    index: ArcSwap<Index>,
    /// The revision up to which everything has been taken over.
    progress: watch::Sender<u64>,
    /// The store's watch is open and feeds us.
    following: AtomicBool,
    bookmark_wanted: Notify,
    /// One resource with a fault is read anew at a time.
    mending: tokio::sync::Mutex<()>,
}

/// What became of one stored value.
type Reading = Result<Arc<Entry>, Unreadable>;

/// Which resource keys below `/registry/` belong to: by first segment, or by the first two.
type Index = HashMap<Box<[u8]>, Arc<ResourceCache>>;

/// Where the keys of a resource are found in the [`Index`].
fn place_of(resource: &ResourceCache) -> Box<[u8]> {
    resource.storage.prefix.as_bytes()[ROOT.len()..resource.storage.prefix.len() - 1].into()
}

impl Cache {
    pub(crate) fn new<'a>(
        store: Arc<dyn Store>,
        resources: impl IntoIterator<Item = &'a Arc<ResourceCache>>,
    ) -> Self {
        let index: Index =
            resources.into_iter().map(|resource| (place_of(resource), resource.clone())).collect();
        Self {
            store,
            index: ArcSwap::from_pointee(index),
            progress: watch::Sender::new(0),
            following: AtomicBool::new(false),
            bookmark_wanted: Notify::new(),
            mending: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn resources(&self) -> Vec<Arc<ResourceCache>> {
        self.index.load().values().cloned().collect()
    }

    /// Takes a resource in: when this returns its cache holds what the store does, and goes on doing so.
    pub(crate) async fn adopt(&self, resource: Arc<ResourceCache>) -> Result<(), StoreError> {
        resource.begin_loading();
        self.change_index(|index| {
            index.insert(place_of(&resource), resource.clone());
        });
        let listing = self.store.list(resource.storage.prefix.as_bytes(), ListOptions::default()).await?;
        let read = listing.items.iter().map(|kv| Entry::read(&resource.storage, kv, kv.mod_revision.0));
        resource.loaded(read.map(|entry| entry.map(Arc::new)).collect(), listing.revision.0);
        Ok(())
    }

    /// Lets go of a resource that is no longer served, unless another has taken its place.
    pub(crate) fn dismiss(&self, resource: &Arc<ResourceCache>) {
        self.change_index(|index| {
            if index.get(&place_of(resource)).is_some_and(|now| Arc::ptr_eq(now, resource)) {
                index.remove(&place_of(resource));
            }
        });
        resource.close();
    }

    fn change_index(&self, change: impl Fn(&mut Index)) {
        self.index.rcu(|now| {
            let mut index = Index::clone(now);
            change(&mut index);
            index
        });
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
        let index = self.index.load_full();
        // Keys come in order, so the objects of one resource stand together.
        let mut entries: HashMap<*const ResourceCache, Vec<Reading>> = HashMap::new();
        for kv in &listing.items {
            if let Some(resource) = owner(&index, &kv.key) {
                let entry = Entry::read(&resource.storage, kv, kv.mod_revision.0).map(Arc::new);
                entries.entry(Arc::as_ptr(resource)).or_default().push(entry);
            }
        }
        for resource in index.values() {
            let entries = entries.remove(&Arc::as_ptr(resource)).unwrap_or_default();
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
        let changes = match self.store.watch(ROOT.as_bytes(), from).await {
            Ok(changes) => changes,
            Err(error) => return error,
        };
        self.following.store(true, Ordering::Release);
        let mut changes = changes.ready_chunks(TOGETHER);
        while let Some(ready) = changes.next().await {
            let (mut batches, mut broken) = (Vec::with_capacity(ready.len()), None);
            for batch in ready {
                match batch {
                    Ok(batch) => batches.push(batch),
                    Err(error) => broken = broken.or(Some(error)),
                }
            }
            self.apply(&batches);
            if let Some(error) = broken {
                return error;
            }
        }
        StoreError::Unavailable("the watch ended".into())
    }

    fn apply(&self, batches: &[WatchBatch]) {
        let Some(revision) = batches.iter().map(|batch| batch.revision.0).max() else { return };
        let index = self.index.load();
        let events = batches.iter().flat_map(|batch| &batch.events);
        let owned: Vec<(&Arc<ResourceCache>, &Event)> =
            events.filter_map(|event| owner(&index, &event.now.key).map(|owner| (owner, event))).collect();
        // Changes of several resources keep their order.
        for run in owned.chunk_by(|(a, _), (b, _)| Arc::ptr_eq(a, b)) {
            let events: Vec<&Event> = run.iter().map(|(_, event)| *event).collect();
            run[0].0.apply(&events);
        }
        self.progress.send_if_modified(|now| {
            let moved = revision > *now;
            *now = revision.max(*now);
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
                for resource in self.index.load().values() {
                    wanted |= resource.bookmark(revision);
                }
                if !wanted {
                    break;
                }
            }
        }
    }
}

/// The resource that a key belongs to.
fn owner<'a>(index: &'a Index, key: &[u8]) -> Option<&'a Arc<ResourceCache>> {
    let key = key.strip_prefix(ROOT.as_bytes())?;
    let mut slashes = memchr::memchr_iter(b'/', key);
    let first = slashes.next()?;
    if let Some(resource) = index.get(&key[..first]) {
        return Some(resource);
    }
    let second = slashes.next()?;
    index.get(&key[..second])
}
