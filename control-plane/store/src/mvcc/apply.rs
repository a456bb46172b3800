//! What one command does, decided against the durable index and the commands of the same batch before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::{Change, Index, Record, Version};
use crate::types::{EventKind, LeaseId, Op, Result, Revision, StoreError, Txn};

/// A wish to change the state.
#[derive(Debug)]
pub(crate) enum Command {
    Transact(Txn),
    Grant(Duration),
    Revoke(LeaseId),
    Compact(Revision),
}

/// What a command came to, true once its batch is durable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Revision),
    /// What the guarded keys hold at this revision, in the order of the guards.
    Failed(Revision, Vec<Option<(Bytes, Version)>>),
    Granted(LeaseId, Duration),
    Revoked(LeaseId),
    Compacted,
}

/// The changes of several commands, to become durable together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The revision after this batch.
    pub(crate) revision: Revision,
    /// In order of revision.
    pub(crate) changes: Vec<Change>,
    /// The last of `changes` for each key.
    latest: HashMap<Bytes, usize>,
    pub(crate) granted: BTreeMap<LeaseId, Duration>,
    pub(crate) revoked: BTreeSet<LeaseId>,
    pub(crate) last_lease: u64,
    pub(crate) compact: Option<Revision>,
}

impl Batch {
    pub(crate) fn new(index: &Index) -> Self {
        Self { revision: index.revision, last_lease: index.last_lease, ..Self::default() }
    }

    /// Nothing to make durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.granted.is_empty()
            && self.revoked.is_empty()
            && self.compact.is_none()
    }

    /// This batch's own change that made the version, if it is from this batch.
    pub(crate) fn change(&self, key: &[u8], revision: Revision) -> Option<&Change> {
        let newest = &self.changes[*self.latest.get(key)?];
        if newest.revision == revision {
            return Some(newest);
        }
        self.changes.iter().find(|c| c.revision == revision && c.key == key)
    }

    fn current(&self, index: &Index, key: &[u8]) -> Option<Version> {
        match self.latest.get(key) {
            Some(&at) => Some(Version::of(&self.changes[at])).filter(|v| v.live),
            None => index.current(key),
        }
    }

    fn has_lease(&self, index: &Index, lease: LeaseId) -> bool {
        !self.revoked.contains(&lease) && (self.granted.contains_key(&lease) || index.has_lease(lease))
    }

    fn put(&mut self, index: &Index, revision: Revision, key: Bytes, value: Bytes, lease: Option<LeaseId>) {
        let record = match self.current(index, &key) {
            Some(now) => {
                Record { kind: EventKind::Update, create: now.create, before: now.revision, lease, value }
            }
            None => Record { kind: EventKind::Create, create: revision, before: Revision(0), lease, value },
        };
        self.push(Change { key, revision, record });
    }

    fn delete(&mut self, index: &Index, revision: Revision, key: Bytes) {
        if let Some(now) = self.current(index, &key) {
            let record = Record {
                kind: EventKind::Delete,
                create: now.create,
                before: now.revision,
                lease: None,
                value: Bytes::new(),
            };
            self.push(Change { key, revision, record });
        }
    }

    fn push(&mut self, change: Change) {
        self.latest.insert(change.key.clone(), self.changes.len());
        self.revision = change.revision;
        self.changes.push(change);
    }
}

/// Adds what `command` changes to `batch`. An error changes nothing.
pub(crate) fn apply(index: &Index, batch: &mut Batch, command: Command) -> Result<Outcome> {
    match command {
        Command::Transact(txn) => transact(index, batch, txn),
        Command::Grant(ttl) => {
            batch.last_lease += 1;
            let lease = LeaseId(batch.last_lease);
            batch.granted.insert(lease, ttl);
            Ok(Outcome::Granted(lease, ttl))
        }
        Command::Revoke(lease) => revoke(index, batch, lease),
        Command::Compact(through) => compact(index, batch, through),
    }
}

fn transact(index: &Index, batch: &mut Batch, txn: Txn) -> Result<Outcome> {
    let holds = |batch: &Batch, key: &[u8]| batch.current(index, key).map_or(Revision(0), |v| v.revision);
    if txn.guards.iter().any(|guard| holds(batch, &guard.key) != guard.mod_revision) {
        let current =
            txn.guards.into_iter().map(|g| batch.current(index, &g.key).map(|v| (g.key, v))).collect();
        return Ok(Outcome::Failed(batch.revision, current));
    }
    for op in &txn.ops {
        if let Op::Put { lease: Some(lease), .. } = op
            && !batch.has_lease(index, *lease)
        {
            return Err(StoreError::NoLease);
        }
    }
    let revision = Revision(batch.revision.0 + 1);
    for op in last_of_each_key(txn.ops) {
        match op {
            Op::Put { key, value, lease } => batch.put(index, revision, key, value, lease),
            Op::Delete { key } => batch.delete(index, revision, key),
        }
    }
    Ok(Outcome::Done(batch.revision))
}

/// A key changes at most once in a revision: the last op on it counts.
pub(crate) fn last_of_each_key(ops: Vec<Op>) -> Vec<Op> {
    if ops.len() < 2 {
        return ops;
    }
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Op> = ops
        .into_iter()
        .rev()
        .filter(|op| {
            let (Op::Put { key, .. } | Op::Delete { key }) = op;
            seen.insert(key.clone())
        })
        .collect();
    kept.reverse();
    kept
}

fn revoke(index: &Index, batch: &mut Batch, lease: LeaseId) -> Result<Outcome> {
    if !batch.has_lease(index, lease) {
        return Err(StoreError::NoLease);
    }
    let attached = batch.changes.iter().map(|c| &c.key).chain(index.lease_keys(lease));
    let keys: BTreeSet<Bytes> = attached
        .filter(|key| batch.current(index, key).is_some_and(|v| v.lease == Some(lease)))
        .cloned()
        .collect();
    let revision = Revision(batch.revision.0 + 1);
    for key in keys {
        batch.delete(index, revision, key);
    }
    batch.revoked.insert(lease);
    Ok(Outcome::Revoked(lease))
}

fn compact(index: &Index, batch: &mut Batch, through: Revision) -> Result<Outcome> {
    let oldest = batch.compact.unwrap_or(index.compacted);
    if through > batch.revision {
        return Err(StoreError::Future { asked: through, newest: batch.revision });
    }
    if through < oldest {
        return Err(StoreError::Compacted { asked: through, oldest });
    }
    if through > oldest {
        batch.compact = Some(through);
    }
    Ok(Outcome::Compacted)
}
