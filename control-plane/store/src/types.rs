//! The contract: what every backend gives and promises. `contract.rs` holds the suite that checks it.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use thiserror::Error;

/// A point in the history of the whole key space. Every transaction that changes something takes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time-to-live that keys can be attached to; when it ends they are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub u64);

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    pub value: Bytes,
    /// When the key came into being (after its last deletion).
    pub create_revision: Revision,
    /// When this version was written.
    pub mod_revision: Revision,
    pub lease: Option<LeaseId>,
}

/// A guard of a transaction. `Revision(0)` means that the key must not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    pub key: Bytes,
    pub mod_revision: Revision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put { key: Bytes, value: Bytes, lease: Option<LeaseId> },
    Delete { key: Bytes },
}

/// If every guard holds, all ops happen at one revision; otherwise none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    pub guards: Vec<Compare>,
    pub ops: Vec<Op>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnReply {
    /// Done and durable at this revision.
    Done { revision: Revision },
    /// A guard failed. `current` is what the guarded keys hold now, in the order of the guards.
    Failed { revision: Revision, current: Vec<Option<KeyValue>> },
}

#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Start strictly after this key (a page's last key).
    pub after: Option<Bytes>,
    /// At most so many; `None` is all.
    pub limit: Option<usize>,
    /// The state at this revision; `None` is now, linearisably.
    pub at: Option<Revision>,
}

#[derive(Debug, Clone)]
pub struct Listing {
    /// In order of key.
    pub items: Vec<KeyValue>,
    /// The revision whose state this is: `at`, or the newest.
    pub revision: Revision,
    /// Keys under the prefix after the last of `items`.
    pub remaining: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Create,
    Update,
    Delete,
}

/// One change of one key. Of a deletion, `now` tells the key and, as `mod_revision`, when it was deleted: the
/// last state is what a watcher was told before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub now: KeyValue,
}

/// What a watch gives: events in order of revision, never part of a revision. An empty batch is progress: nothing
/// below or at `revision` is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    pub revision: Revision,
    pub events: Vec<Event>,
}

pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchBatch>> + Send>>;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum StoreError {
    /// The revision asked for has been compacted away.
    #[error("required revision {asked} has been compacted; the oldest is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// The revision asked for lies in the future.
    #[error("required revision {asked} is a future revision; the newest is {newest}")]
    Future { asked: Revision, newest: Revision },
    /// A watch lost its place, as when its stream broke: it must list again.
    #[error("the watcher fell behind at revision {at}")]
    Lagged { at: Revision },
    #[error("no such lease")]
    NoLease,
    /// The key or value is larger than the store takes.
    #[error("request is too large: {bytes} bytes, the limit is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// Nothing was written; reads go on.
    #[error("the disk is full")]
    DiskFull,
    /// The store has been closed, or cannot be reached.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    #[error("{tried}")]
    Backend {
        tried: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A backend. Reads without a revision are linearisable: they see every write acknowledged before they began.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The newest revision, linearisably.
    async fn revision(&self) -> Result<Revision>;

    /// One key now or at a revision, and the revision whose state that is.
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)>;

    /// The keys that start with `prefix`, in order.
    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing>;

    /// Guards and ops as one atomic step. When it returns `Done`, the change is durable.
    async fn transact(&self, txn: Txn) -> Result<TxnReply>;

    /// Every change under `prefix` with a revision above `after`.
    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream>;

    async fn grant(&self, ttl: Duration) -> Result<LeaseId>;

    async fn revoke(&self, lease: LeaseId) -> Result<()>;

    /// Forgets versions that are no longer current at `through`; reads and watches below it fail with `Compacted`.
    async fn compact(&self, through: Revision) -> Result<()>;

    /// Writes a consistent copy of the whole store to a new file, while it serves.
    async fn snapshot(&self, to: &std::path::Path) -> Result<Revision>;

    /// Whether other processes may use the same store at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// What each member of the store takes on disk, in bytes, as far as it says; nothing where there is no disk.
    async fn sizes(&self) -> Vec<Option<u64>> {
        Vec::new()
    }

    /// The revision at which a key was last written, zero where it does not exist; none where the store would have to ask
    /// somebody. Who holds a copy of that revision need not read the key.
    fn revision_of(&self, _key: &[u8]) -> Option<Revision> {
        None
    }

    /// Whether the value of a key should be written again even if it did not change, because it would be stored in
    /// another form today (encryption keys are rotated). Asked only before a write is left out.
    async fn is_stale(&self, _key: &[u8]) -> Result<bool> {
        Ok(false)
    }
}
