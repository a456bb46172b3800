//! The tables in the file: what they hold, how they are written and copied. `FORMAT.md` describes them.

use std::fs::OpenOptions;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes};
use redb::{Database, ReadTransaction, Table, TableDefinition};

use super::failure::Failure;
use crate::mvcc::{Batch, Change, Record, VersionRef};
use crate::types::{EventKind, LeaseId, Result, Revision, StoreError};

/// Revision and key → a record: header and value. The log proper, appended at its right edge.
pub(super) const RECORDS: TableDefinition<'_, (u64, &[u8]), &[u8]> = TableDefinition::new("records");
/// Key and revision → the header. What the index is loaded from, without reading values.
pub(super) const VERSIONS: TableDefinition<'_, (&[u8], u64), &[u8]> = TableDefinition::new("versions");
/// Lease → its time to live in milliseconds.
pub(super) const LEASES: TableDefinition<'_, u64, u64> = TableDefinition::new("leases");
/// Counters, by the names below.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

pub(super) const FORMAT: &str = "format";
pub(super) const REVISION: &str = "revision";
pub(super) const COMPACTED: &str = "compacted";
pub(super) const LAST_LEASE: &str = "last-lease";

/// The format of the tables that this code reads and writes.
pub(super) const FORMAT_NOW: u64 = 1;

/// kind, create, before, lease (0 is none).
pub(super) const HEADER: usize = 1 + 3 * 8;

pub(super) fn create_tables(database: &Database) -> Result<(), Failure> {
    let txn = database.begin_write()?;
    txn.open_table(RECORDS)?;
    txn.open_table(VERSIONS)?;
    txn.open_table(LEASES)?;
    txn.open_table(COUNTERS)?.insert(FORMAT, FORMAT_NOW)?;
    Ok(txn.commit()?)
}

pub(super) fn write(database: &Database, batch: &Batch, garbage: &[VersionRef]) -> Result<(), Failure> {
    let txn = database.begin_write()?;
    {
        let mut records = txn.open_table(RECORDS)?;
        let mut versions = txn.open_table(VERSIONS)?;
        for change in &batch.changes {
            insert(&mut records, &mut versions, change)?;
        }
        for (key, revision) in garbage {
            records.remove((revision.0, &key[..]))?;
            versions.remove((&key[..], revision.0))?;
        }
        if !batch.granted.is_empty() || !batch.revoked.is_empty() {
            let mut leases = txn.open_table(LEASES)?;
            for (lease, ttl) in &batch.granted {
                leases.insert(lease.0, u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))?;
            }
            for lease in &batch.revoked {
                leases.remove(lease.0)?;
            }
        }
        let mut counters = txn.open_table(COUNTERS)?;
        counters.insert(REVISION, batch.revision.0)?;
        if !batch.granted.is_empty() {
            counters.insert(LAST_LEASE, batch.last_lease)?;
        }
        if let Some(through) = batch.compact {
            counters.insert(COMPACTED, through.0)?;
        }
    }
    Ok(txn.commit()?)
}

pub(super) type Records<'txn> = Table<'txn, (u64, &'static [u8]), &'static [u8]>;
pub(super) type Versions<'txn> = Table<'txn, (&'static [u8], u64), &'static [u8]>;

pub(super) fn insert(
    records: &mut Records<'_>,
    versions: &mut Versions<'_>,
    change: &Change,
) -> Result<(), Failure> {
    let header = encode(&change.record);
    let value = &change.record.value;
    let mut slot = records.insert_reserve((change.revision.0, &change.key[..]), HEADER + value.len())?;
    slot.as_mut()[..HEADER].copy_from_slice(&header);
    slot.as_mut()[HEADER..].copy_from_slice(value);
    drop(slot);
    versions.insert((&change.key[..], change.revision.0), &header[..])?;
    Ok(())
}

/// A new store at `path` that holds what `batch` says; the file must not exist.
pub(crate) fn write_new(path: &Path, batch: &Batch) -> Result<()> {
    let new = create_new(path).map_err(Failure::into_error)?;
    write(&new, batch, &[]).map_err(Failure::into_error)
}

pub(super) fn create_new(path: &Path) -> Result<Database, Failure> {
    let made = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file =
        made.map_err(|source| StoreError::Backend { tried: "make a new file", source: source.into() })?;
    let database = redb::Builder::new().set_cache_size(1 << 20).create_file(file)?;
    create_tables(&database)?;
    Ok(database)
}

pub(super) fn write_copy(from: &ReadTransaction, path: &Path) -> Result<Revision, Failure> {
    let new = create_new(path)?;
    let txn = new.begin_write()?;
    let mut revision = 0;
    {
        let mut table = txn.open_table(RECORDS)?;
        for entry in from.open_table(RECORDS)?.range::<(u64, &[u8])>(..)? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
        }
        let mut table = txn.open_table(VERSIONS)?;
        for entry in from.open_table(VERSIONS)?.range::<(&[u8], u64)>(..)? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
        }
        let mut table = txn.open_table(LEASES)?;
        for entry in from.open_table(LEASES)?.range::<u64>(..)? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
        }
        let mut table = txn.open_table(COUNTERS)?;
        for entry in from.open_table(COUNTERS)?.range::<&str>(..)? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
            if key.value() == REVISION {
                revision = value.value();
            }
        }
    }
    txn.commit()?;
    Ok(Revision(revision))
}

pub(super) fn encode(record: &Record) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut out = &mut header[..];
    out.put_u8(match record.kind {
        EventKind::Create => 1,
        EventKind::Update => 2,
        EventKind::Delete => 3,
    });
    out.put_u64(record.create.0);
    out.put_u64(record.before.0);
    out.put_u64(record.lease.map_or(0, |lease| lease.0));
    header
}

pub(super) fn decode(mut stored: &[u8]) -> Result<Record, Failure> {
    let corrupt = || Failure::Redb(redb::Error::Corrupted("a record's header is damaged".into()));
    if stored.len() < HEADER {
        return Err(corrupt());
    }
    let kind = match stored.get_u8() {
        1 => EventKind::Create,
        2 => EventKind::Update,
        3 => EventKind::Delete,
        _ => return Err(corrupt()),
    };
    let (create, before, lease) = (Revision(stored.get_u64()), Revision(stored.get_u64()), stored.get_u64());
    let lease = (lease != 0).then_some(LeaseId(lease));
    Ok(Record { kind, create, before, lease, value: Bytes::copy_from_slice(stored) })
}
