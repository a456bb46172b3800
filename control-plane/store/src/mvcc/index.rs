//! Every key's versions since the last compaction, in memory and without values.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::{Batch, Change};
use crate::types::{EventKind, LeaseId, Result, Revision, StoreError};

/// One version of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) revision: Revision,
    pub(crate) create: Revision,
    pub(crate) lease: Option<LeaseId>,
    /// False for a deletion.
    pub(crate) live: bool,
}

impl Version {
    pub(crate) fn of(change: &Change) -> Self {
        Self {
            revision: change.revision,
            create: change.record.create,
            lease: change.record.lease,
            live: change.record.kind != EventKind::Delete,
        }
    }
}

/// Where the log holds a version.
pub(crate) type VersionRef = (Bytes, Revision);

#[derive(Debug, Default)]
struct Lease {
    ttl: Duration,
    keys: BTreeSet<Bytes>,
}

/// One key.
#[derive(Debug, Default)]
struct Entry {
    /// In order of revision.
    versions: Vec<Version>,
    /// It is among those that a compaction must look at.
    has_past: bool,
}

/// The durable state.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Entry>,
    /// Keys that have more than one version, or are gone: a compaction costs what changed, not what exists.
    with_past: Vec<Bytes>,
    leases: BTreeMap<LeaseId, Lease>,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    /// The highest lease number ever given.
    pub(crate) last_lease: u64,
}

impl Index {
    /// The key's newest version, if that is not a deletion.
    pub(crate) fn current(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key)?.versions.last().copied().filter(|v| v.live)
    }

    /// The key's version at a revision that [`check`](Self::check) let pass.
    pub(crate) fn at(&self, key: &[u8], at: Revision) -> Option<Version> {
        newest_at(&self.keys.get(key)?.versions, at)
    }

    /// May the state at `at` be read? Gives the revision to read at.
    pub(crate) fn check(&self, at: Option<Revision>) -> Result<Revision> {
        let asked = at.unwrap_or(self.revision);
        if asked > self.revision {
            return Err(StoreError::Future { asked, newest: self.revision });
        }
        if asked < self.compacted {
            return Err(StoreError::Compacted { asked, oldest: self.compacted });
        }
        Ok(asked)
    }

    /// The first `limit` keys under `prefix` after `after` that live at `at`, and how many more there are. To count these is
    /// the greater part of the work, unless it is `known` how many keys there are after `after`.
    pub(crate) fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        at: Revision,
        known: Option<usize>,
    ) -> (Vec<VersionRef>, usize) {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        let mut remaining = 0;
        for (key, entry) in self.keys.range::<[u8], _>((start, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            if let Some(known) = known.filter(|_| found.len() >= limit) {
                return (found, known.saturating_sub(limit));
            }
            match newest_at(&entry.versions, at) {
                Some(version) if found.len() < limit => found.push((key.clone(), version.revision)),
                Some(_) => remaining += 1,
                None => {}
            }
        }
        (found, remaining)
    }

    pub(crate) fn has_lease(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    pub(crate) fn lease_keys(&self, lease: LeaseId) -> impl Iterator<Item = &Bytes> {
        self.leases.get(&lease).into_iter().flat_map(|l| &l.keys)
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (LeaseId, Duration)> {
        self.leases.iter().map(|(&id, lease)| (id, lease.ttl))
    }

    /// Takes in a durable batch; gives the versions that the log no longer needs.
    pub(crate) fn install(&mut self, batch: &Batch) -> Vec<VersionRef> {
        for (&lease, &ttl) in &batch.granted {
            self.add_lease(lease, ttl);
        }
        for change in &batch.changes {
            self.push(change.key.clone(), Version::of(change));
        }
        for lease in &batch.revoked {
            self.leases.remove(lease);
        }
        self.revision = batch.revision;
        self.last_lease = batch.last_lease;
        batch.compact.map(|through| self.compact(through)).unwrap_or_default()
    }

    pub(crate) fn add_lease(&mut self, lease: LeaseId, ttl: Duration) {
        self.leases.insert(lease, Lease { ttl, keys: BTreeSet::new() });
    }

    /// Adds a key's next version; leases must be known by now.
    pub(crate) fn push(&mut self, key: Bytes, version: Version) {
        let before = self.keys.get(&key).and_then(|e| e.versions.last()).and_then(|v| v.lease);
        if before != version.lease {
            if let Some(lease) = before.and_then(|id| self.leases.get_mut(&id)) {
                lease.keys.remove(&key);
            }
            if let Some(lease) = version.lease.and_then(|id| self.leases.get_mut(&id)) {
                lease.keys.insert(key.clone());
            }
        }
        let entry = self
            .keys
            .entry(key.clone())
            .or_insert_with(|| Entry { versions: Vec::with_capacity(1), has_past: false });
        entry.versions.push(version);
        if !entry.has_past && (entry.versions.len() > 1 || !version.live) {
            entry.has_past = true;
            self.with_past.push(key);
        }
    }

    /// Forgets what is not current at `through`; gives what it forgot.
    pub(crate) fn compact(&mut self, through: Revision) -> Vec<VersionRef> {
        self.compacted = self.compacted.max(through);
        let mut forgotten = Vec::new();
        let mut still = Vec::new();
        for key in std::mem::take(&mut self.with_past) {
            let Some(entry) = self.keys.get_mut(&key) else { continue };
            let versions = &mut entry.versions;
            let known = versions.partition_point(|v| v.revision <= through);
            let gone = match known.checked_sub(1) {
                Some(last) if versions[last].live => last,
                _ => known,
            };
            forgotten.extend(versions.drain(..gone).map(|v| (key.clone(), v.revision)));
            if gone > 0 {
                versions.shrink_to(1);
            }
            if versions.is_empty() {
                self.keys.remove(&key);
            } else if versions.len() == 1 && versions[0].live {
                entry.has_past = false;
            } else {
                still.push(key);
            }
        }
        self.with_past = still;
        forgotten
    }
}

fn newest_at(versions: &[Version], at: Revision) -> Option<Version> {
    let known = versions.partition_point(|v| v.revision <= at);
    versions[..known].last().copied().filter(|v| v.live)
}
