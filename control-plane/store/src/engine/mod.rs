//! Serves the MVCC core over any log of records: reads, group commits, watches. Knows neither files nor threads.
//!
//! Commands come in groups to [`Engine::write`] (one caller at a time); each group is one durable commit of the [`Log`],
//! then enters the index, then goes to the watchers, then is answered. Reads take the index's lock only to look keys
//! up, and the values from the log without it.

mod hub;
mod pages;
mod watch;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

pub(crate) use hub::{End, Hub};
use pages::Pages;
pub(crate) use writer::{Answer, Writer};

use crate::REQUEST_LIMIT;
use crate::mvcc::{Batch, Change, Index, Record, VersionRef};
use crate::types::{
    Event, KeyValue, LeaseId, ListOptions, Listing, Op, Result, Revision, StoreError, Txn, WatchBatch,
    WatchStream,
};

/// Where records live. Only one caller commits at a time; reads come from everywhere.
pub(crate) trait Log: Send + Sync + 'static {
    /// Makes the batch durable and forgets `garbage`, all or nothing. After an error the caller must [`load`](Self::load).
    fn commit(&self, batch: &Batch, garbage: &[VersionRef]) -> Result<()>;

    /// The index as the log has it, not compacted.
    fn load(&self) -> Result<Index>;

    /// The records of these versions from one consistent state; `None` for what a compaction has removed.
    fn records(&self, wanted: &[VersionRef]) -> Result<Vec<Option<Record>>>;

    /// Changes above `after` and up to `through`, whole revisions, about `limit` entries; and the revision reached.
    fn since(&self, after: Revision, through: Revision, limit: usize) -> Result<(Vec<Change>, Revision)>;
}

/// Entries of the log that a watch's replay reads in one step: bounds its memory and its time on a thread.
const REPLAY_STEP: usize = 256;

pub(crate) struct Engine<L> {
    pub(crate) log: L,
    index: RwLock<Index>,
    hub: Arc<Hub>,
    pages: Pages,
}

impl<L: Log> Engine<L> {
    /// Over a log that holds something or nothing, and the writer's state for it.
    pub(crate) fn open(log: L) -> Result<(Self, Writer)> {
        let mut index = log.load()?;
        let writer = Writer::new(&mut index);
        let hub = Arc::new(Hub::new(index.revision));
        Ok((Self { log, index: RwLock::new(index), hub, pages: Pages::default() }, writer))
    }

    /// The newest revision. Every watch reports progress up to it, so who waits for its cache to catch up can.
    pub(crate) fn revision(&self) -> Revision {
        let revision = self.index.read().revision;
        self.hub.nudge(revision);
        revision
    }

    /// The revision at which a key was last written; zero where it does not exist.
    pub(crate) fn revision_of(&self, key: &[u8]) -> Revision {
        let index = self.index.read();
        index.at(key, index.revision).map_or(Revision(0), |version| version.revision)
    }

    pub(crate) fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        loop {
            let (version, revision) = {
                let index = self.index.read();
                let revision = index.check(at)?;
                (index.at(key, revision), revision)
            };
            let Some(version) = version else { return Ok((None, revision)) };
            let wanted = (Bytes::copy_from_slice(key), version.revision);
            if let Some(record) = self.log.records(std::slice::from_ref(&wanted))?.pop().flatten() {
                return Ok((Some(record.key_value(wanted.0, wanted.1)), revision));
            }
            // A compaction came between the two steps: look again; `check` refuses if it went beyond `at`.
        }
    }

    pub(crate) fn list(&self, prefix: &[u8], options: &ListOptions) -> Result<Listing> {
        let limit = options.limit.unwrap_or(usize::MAX);
        loop {
            let (found, remaining, revision) = {
                let index = self.index.read();
                let revision = index.check(options.at)?;
                let after = options.after.as_deref();
                let known = after.and_then(|last| self.pages.take(prefix, revision, last));
                let (found, remaining) = index.list(prefix, after, limit, revision, known);
                (found, remaining, revision)
            };
            if let Some((last, _)) = found.last().filter(|_| remaining > 0) {
                self.pages.keep(prefix, revision, last.clone(), remaining);
            }
            let records = self.log.records(&found)?;
            let items: Option<Vec<KeyValue>> = found
                .into_iter()
                .zip(records)
                .map(|((key, at), record)| Some(record?.key_value(key, at)))
                .collect();
            if let Some(items) = items {
                return Ok(Listing { items, revision, remaining });
            }
            // As in `get`.
        }
    }

    pub(crate) fn watch(self: &Arc<Self>, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let (watcher, through) = self.hub.register(Bytes::copy_from_slice(prefix));
        let newest = self.index.read().check(Some(after))?;
        debug_assert_eq!(newest, after);
        Ok(watch::stream(self.clone(), watcher, after, through))
    }

    /// The watch's batches above `after`, at most up to `through`, and the revision that they reach.
    fn replay(
        &self,
        prefix: &[u8],
        after: Revision,
        through: Revision,
    ) -> Result<(Vec<WatchBatch>, Revision)> {
        let (mut changes, reached) = self.log.since(after, through, REPLAY_STEP)?;
        changes.retain(|c| c.key.starts_with(prefix));
        // Had a compaction passed `after`, something might be missing from what was read.
        self.index.read().check(Some(after))?;
        Ok((batches(changes), reached))
    }

    /// Everything as one batch, given all changes that the log holds.
    pub(crate) fn whole(&self, changes: Vec<Change>) -> Batch {
        let index = self.index.read();
        let mut batch = Batch::new(&index);
        batch.changes = changes;
        batch.granted = index.leases().collect();
        batch.compact = Some(index.compacted);
        batch
    }

    /// A lease's time to live.
    pub(crate) fn lease(&self, lease: LeaseId) -> Option<Duration> {
        self.index.read().leases().find(|(id, _)| *id == lease).map(|(_, ttl)| ttl)
    }

    /// The newest revision, and the one through which history has been compacted.
    pub(crate) fn span(&self) -> (Revision, Revision) {
        let index = self.index.read();
        (index.revision, index.compacted)
    }

    /// Ends every watch; further watches end at once.
    pub(crate) fn close(&self) {
        self.hub.end(End::Closed);
    }
}

/// Changes in the log's order, as a watch gives them.
fn batches(changes: Vec<Change>) -> Vec<WatchBatch> {
    let mut batches: Vec<WatchBatch> = Vec::new();
    for Change { key, revision, record } in changes {
        let event = Event { kind: record.kind, now: record.key_value(key, revision) };
        match batches.last_mut() {
            Some(batch) if batch.revision == revision => batch.events.push(event),
            _ => batches.push(WatchBatch { revision, events: vec![event] }),
        }
    }
    batches
}

/// Bytes of keys and values.
pub(crate) fn size_of(txn: &Txn) -> usize {
    let size = |op: &Op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    };
    txn.ops.iter().map(size).sum()
}

/// Refuses what is larger than a request may be.
pub(crate) fn check_size(txn: &Txn) -> Result<()> {
    let bytes = size_of(txn);
    if bytes > REQUEST_LIMIT { Err(StoreError::TooLarge { bytes, limit: REQUEST_LIMIT }) } else { Ok(()) }
}
