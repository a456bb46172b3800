//! Reads everything there is and tells what it finds: sizes, and what contradicts itself.

use std::collections::HashSet;

use redb::{ReadTransaction, ReadableTableMetadata as _};

use super::failure::Failure;
use super::format::{COMPACTED, COUNTERS, LEASES, RECORDS, REVISION, VERSIONS, decode};
use crate::mvcc::Record;
use crate::types::{EventKind, Revision};

/// Faults that are told; more of them tell no more.
const FAULTS: usize = 100;

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    pub revision: Revision,
    /// History before this is gone.
    pub compacted: Revision,
    /// Keys that are there now.
    pub keys: u64,
    pub versions: u64,
    pub leases: u64,
    /// Bytes of keys, values and headers.
    pub used_bytes: u64,
    pub file_bytes: u64,
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds && self.0.len() < FAULTS {
            self.0.push(fault());
        }
    }
}

/// One key's version that has been read.
struct Seen {
    key: Vec<u8>,
    revision: u64,
    live: bool,
}

pub(super) fn inspect(txn: &ReadTransaction) -> Result<(Facts, Vec<String>), Failure> {
    let counters = txn.open_table(COUNTERS)?;
    let counter = |name| Ok::<_, redb::StorageError>(counters.get(name)?.map_or(0, |v| v.value()));
    let (revision, compacted) = (counter(REVISION)?, counter(COMPACTED)?);
    let mut leases = HashSet::new();
    for lease in txn.open_table(LEASES)?.range::<u64>(..)? {
        leases.insert(lease?.0.value());
    }
    let mut faults = Faults::default();
    faults.check(compacted <= revision, || {
        format!("compacted through {compacted}, but the newest revision is {revision}")
    });
    let mut facts = Facts {
        revision: Revision(revision),
        compacted: Revision(compacted),
        leases: leases.len() as u64,
        ..Facts::default()
    };
    check_versions(txn, &mut facts, &leases, &mut faults)?;
    check_records(txn, &mut facts, &mut faults)?;
    Ok((facts, faults.0))
}

/// The index: every key's versions form a chain, and each is in the log.
fn check_versions(
    txn: &ReadTransaction,
    facts: &mut Facts,
    leases: &HashSet<u64>,
    faults: &mut Faults,
) -> Result<(), Failure> {
    let records = txn.open_table(RECORDS)?;
    let mut last: Option<Seen> = None;
    for entry in txn.open_table(VERSIONS)?.range::<(&[u8], u64)>(..)? {
        let (at, header) = entry?;
        let (key, revision) = at.value();
        let name = || format!("{} at {revision}", String::from_utf8_lossy(key));
        facts.versions += 1;
        let record = match decode(header.value()) {
            Ok(record) => record,
            Err(_) => {
                faults.check(false, || format!("{}: its header in the index is damaged", name()));
                continue;
            }
        };
        match records.get((revision, key))? {
            Some(stored) => faults.check(stored.value().starts_with(header.value()), || {
                format!("{}: the index and the log disagree", name())
            }),
            None => faults.check(false, || format!("{}: it is in the index but not in the log", name())),
        }
        faults.check(revision <= facts.revision.0, || format!("{}: newer than the newest revision", name()));
        let before = last.take().filter(|seen| seen.key == key);
        check_chain(&record, revision, before.as_ref(), facts.compacted.0, faults, &name);
        let lease = record.lease.map_or(0, |lease| lease.0);
        let live = record.kind != EventKind::Delete;
        // Only the newest version of a key counts as a key, and needs its lease.
        if let Some(before) = &before {
            facts.keys -= u64::from(before.live);
        }
        facts.keys += u64::from(live);
        last = Some(Seen { key: key.to_vec(), revision, live });
        if lease != 0 && !leases.contains(&lease) {
            let newest = newest_version(txn, key)?;
            faults.check(newest != revision, || format!("{}: its lease {lease} is not there", name()));
        }
    }
    Ok(())
}

fn newest_version(txn: &ReadTransaction, key: &[u8]) -> Result<u64, Failure> {
    let versions = txn.open_table(VERSIONS)?;
    let newest = versions.range((key, 0)..=(key, u64::MAX))?.next_back().transpose()?;
    Ok(newest.map_or(0, |(at, _)| at.value().1))
}

fn check_chain(
    record: &Record,
    revision: u64,
    before: Option<&Seen>,
    compacted: u64,
    faults: &mut Faults,
    name: &dyn Fn() -> String,
) {
    let (create, previous) = (record.create.0, record.before.0);
    if record.kind == EventKind::Create {
        faults.check(create == revision && previous == 0, || format!("{}: a creation with a past", name()));
        faults.check(before.is_none_or(|b| !b.live), || format!("{}: created while it was there", name()));
        return;
    }
    let ordered = previous < revision && create <= previous && create > 0;
    faults.check(ordered, || format!("{}: its past is out of order", name()));
    match before {
        Some(before) => faults.check(before.revision == previous && before.live, || {
            format!("{}: the version before it is {}, not {previous}", name(), before.revision)
        }),
        None => faults.check(previous <= compacted, || format!("{}: the version before it is lost", name())),
    }
}

/// The log: everything in it can be read and is in the index.
fn check_records(txn: &ReadTransaction, facts: &mut Facts, faults: &mut Faults) -> Result<(), Failure> {
    let versions = txn.open_table(VERSIONS)?;
    let records = txn.open_table(RECORDS)?;
    for entry in records.range::<(u64, &[u8])>(..)? {
        let (at, stored) = entry?;
        let (revision, key) = at.value();
        let name = || format!("{} at {revision}", String::from_utf8_lossy(key));
        faults.check(decode(stored.value()).is_ok(), || format!("{}: its record is damaged", name()));
        faults.check(versions.get((key, revision))?.is_some(), || {
            format!("{}: it is in the log but not in the index", name())
        });
    }
    facts.used_bytes = records.stats()?.stored_bytes() + versions.stats()?.stored_bytes();
    Ok(())
}
