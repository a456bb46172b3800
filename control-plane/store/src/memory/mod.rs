//! The MVCC core without a disk: for tests, and for clusters that need not outlive their process.
//!
//! Commands are applied by the caller, under a lock. There is no task: leases are looked at on every call and by
//! waiting watches, on tokio's clock, so paused time works.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::embedded::write_new;
use crate::engine::{Answer, Engine, Log, Writer, check_size};
use crate::mvcc::{Batch, Change, Command, Index, Record, VersionRef};
use crate::types::{
    KeyValue, LeaseId, ListOptions, Listing, Result, Revision, Store, Txn, TxnReply, WatchStream,
};

/// A store in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    engine: Arc<Engine<Records>>,
    writer: Mutex<Writer>,
    /// When the next lease ends: for the watches that wait.
    next_end: watch::Sender<Option<Instant>>,
}

/// The log in a map.
#[derive(Debug, Default)]
struct Records(RwLock<BTreeMap<(Revision, Bytes), Record>>);

impl Log for Records {
    fn commit(&self, batch: &Batch, garbage: &[VersionRef]) -> Result<()> {
        let mut records = self.0.write();
        for change in &batch.changes {
            records.insert((change.revision, change.key.clone()), change.record.clone());
        }
        for (key, revision) in garbage {
            records.remove(&(*revision, key.clone()));
        }
        Ok(())
    }

    fn load(&self) -> Result<Index> {
        Ok(Index::default())
    }

    fn records(&self, wanted: &[VersionRef]) -> Result<Vec<Option<Record>>> {
        let records = self.0.read();
        Ok(wanted.iter().map(|(key, revision)| records.get(&(*revision, key.clone())).cloned()).collect())
    }

    fn since(&self, after: Revision, through: Revision, limit: usize) -> Result<(Vec<Change>, Revision)> {
        let records = self.0.read();
        let range = (Bound::Included((Revision(after.0 + 1), Bytes::new())), Bound::Unbounded);
        let mut changes: Vec<Change> = Vec::new();
        for ((revision, key), record) in records.range(range).take_while(|((at, _), _)| *at <= through) {
            if let Some(last) =
                changes.last().filter(|last| changes.len() >= limit && last.revision != *revision)
            {
                let reached = last.revision;
                return Ok((changes, reached));
            }
            changes.push(Change { key: key.clone(), revision: *revision, record: record.clone() });
        }
        Ok((changes, through))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        let (engine, writer) = Engine::open(Records::default()).expect("a map has nothing that can fail");
        let next_end = watch::Sender::new(None);
        Self(Arc::new(Shared { engine: Arc::new(engine), writer: Mutex::new(writer), next_end }))
    }

    /// Ends all watches, as closing an embedded store does.
    pub fn close(&self) {
        self.0.engine.close();
    }
}

impl Shared {
    fn write(&self, command: Command) -> Result<Answer> {
        let mut writer = self.writer.lock();
        let mut commands = writer.expired(Instant::now());
        commands.push(command);
        let answer = self.engine.write(&mut writer, commands).pop().expect("one answer per command");
        while writer.has_garbage() {
            self.engine.write(&mut writer, Vec::new());
        }
        self.tell(&writer);
        answer
    }

    fn tell(&self, writer: &Writer) {
        let next = writer.next_end();
        self.next_end.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    /// The engine, without the leases that have ended.
    fn now(&self) -> &Arc<Engine<Records>> {
        if self.next_end.borrow().is_some_and(|end| end <= Instant::now()) {
            let mut writer = self.writer.lock();
            let commands = writer.expired(Instant::now());
            self.engine.write(&mut writer, commands);
            self.tell(&writer);
        }
        &self.engine
    }
}

/// Ends leases when it is time, for as long as somebody waits for it. Gives nothing.
async fn mind_leases(shared: Arc<Shared>) {
    let mut changes = shared.next_end.subscribe();
    loop {
        let next = *changes.borrow_and_update();
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                shared.now();
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn revision(&self) -> Result<Revision> {
        Ok(self.0.now().revision())
    }

    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        self.0.now().get(key, at)
    }

    fn revision_of(&self, key: &[u8]) -> Option<Revision> {
        Some(self.0.now().revision_of(key))
    }

    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        self.0.now().list(prefix, &options)
    }

    async fn transact(&self, txn: Txn) -> Result<TxnReply> {
        check_size(&txn)?;
        match self.0.write(Command::Transact(txn))? {
            Answer::Txn(reply) => Ok(reply),
            other => unreachable!("a transaction is not answered with {other:?}"),
        }
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let events = self.0.now().watch(prefix, after)?;
        // The minder rides along with the watch: whoever polls for events makes the leases end.
        let minder = Box::pin(mind_leases(self.0.clone()));
        Ok(Box::pin(stream::unfold((events, minder), |(mut events, mut minder)| async move {
            let next = tokio::select! {
                biased;
                next = events.next() => next?,
                () = &mut minder => return None,
            };
            Some((next, (events, minder)))
        })))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        match self.0.write(Command::Grant(ttl))? {
            Answer::Lease(lease) => Ok(lease),
            other => unreachable!("a grant is not answered with {other:?}"),
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.0.write(Command::Revoke(lease)).map(drop)
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.0.write(Command::Compact(through)).map(drop)
    }

    /// Writes the file of an embedded store.
    async fn snapshot(&self, to: &Path) -> Result<Revision> {
        // Nobody writes meanwhile.
        let _writer = self.0.writer.lock();
        let records = self.0.engine.log.0.read();
        let changes = records.iter().map(|((revision, key), record)| Change {
            key: key.clone(),
            revision: *revision,
            record: record.clone(),
        });
        let batch = self.0.engine.whole(changes.collect());
        write_new(to, &batch)?;
        Ok(batch.revision)
    }
}

impl From<MemoryStore> for Arc<dyn Store> {
    fn from(store: MemoryStore) -> Self {
        Arc::new(store)
    }
}
