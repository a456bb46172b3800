//! The log in a redb file. Four tables; `README.md` describes them.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use parking_lot::{Mutex, RwLock};
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageError, Table, TableDefinition};
use tracing::{error, info};

use super::EmbeddedOptions;
use super::file::QuotaFile;
use crate::engine::Log;
use crate::mvcc::{Batch, Change, Index, Record, Version, VersionRef};
use crate::types::{EventKind, LeaseId, Result, Revision, StoreError};

/// Revision and key → a record: header and value. The log proper, appended at its right edge.
const RECORDS: TableDefinition<'_, (u64, &[u8]), &[u8]> = TableDefinition::new("records");
/// Key and revision → the header. What the index is loaded from, without reading values.
const VERSIONS: TableDefinition<'_, (&[u8], u64), &[u8]> = TableDefinition::new("versions");
/// Lease → its time to live in milliseconds.
const LEASES: TableDefinition<'_, u64, u64> = TableDefinition::new("leases");
/// Counters, by the names below.
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

const FORMAT: &str = "format";
const REVISION: &str = "revision";
const COMPACTED: &str = "compacted";
const LAST_LEASE: &str = "last-lease";

/// The format of the tables that this code reads and writes.
const FORMAT_NOW: u64 = 1;

/// kind, create, before, lease (0 is none).
const HEADER: usize = 1 + 3 * 8;

enum Slot {
    Open(Database),
    /// A failed commit left no database to reopen; the next commit tries again.
    Broken,
    Closed,
}

pub(crate) struct Disk {
    path: PathBuf,
    options: EmbeddedOptions,
    slot: RwLock<Slot>,
    /// Held by a commit until its failure, if any, has been repaired: readers that stumble over it wait here.
    repair: Mutex<()>,
}

impl Disk {
    pub(crate) fn open(path: &Path, options: EmbeddedOptions) -> Result<Self> {
        let database = open_database(path, &options)?;
        Ok(Self {
            path: path.to_owned(),
            options,
            slot: RwLock::new(Slot::Open(database)),
            repair: Mutex::new(()),
        })
    }

    /// Waits for readers, then closes the file.
    pub(crate) fn close(&self) {
        *self.slot.write() = Slot::Closed;
    }

    /// A consistent copy as a new file that can be opened like this one.
    pub(crate) fn copy(&self, to: &Path) -> Result<Revision> {
        self.read(|txn| write_copy(txn, to))
    }

    /// One consistent state for reading. A read that meets a file broken by a failed write is done again.
    fn read<T>(&self, work: impl Fn(&ReadTransaction) -> Result<T, Failure>) -> Result<T> {
        match self.read_once(&work) {
            Err(Failure::Redb(redb::Error::PreviousIo | redb::Error::DatabaseClosed)) => {
                drop(self.repair.lock());
                self.read_once(&work).map_err(Failure::into_error)
            }
            done => done.map_err(Failure::into_error),
        }
    }

    fn read_once<T>(&self, work: impl Fn(&ReadTransaction) -> Result<T, Failure>) -> Result<T, Failure> {
        match &*self.slot.read() {
            Slot::Open(database) => work(&database.begin_read()?),
            Slot::Broken => {
                Err(Failure::Store(StoreError::Unavailable("the file could not be reopened".into())))
            }
            Slot::Closed => Err(Failure::Store(StoreError::Unavailable("the store has been closed".into()))),
        }
    }

    /// After a failed write redb refuses everything until the file has been opened anew.
    fn reopen(&self) -> Result<()> {
        let mut slot = self.slot.write();
        if matches!(*slot, Slot::Closed) {
            return Ok(());
        }
        *slot = Slot::Broken;
        *slot = Slot::Open(open_database(&self.path, &self.options)?);
        info!(path = %self.path.display(), "store reopened after a failed write");
        Ok(())
    }
}

fn open_database(path: &Path, options: &EmbeddedOptions) -> Result<Database> {
    open_inner(path, options).map_err(|failure| match failure {
        Failure::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::Unavailable(format!(
            "{} is in use by another process; stop it first, or choose another data directory",
            path.display()
        )),
        other => other.into_error(),
    })
}

fn open_inner(path: &Path, options: &EmbeddedOptions) -> Result<Database, Failure> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened
        .map_err(|source| StoreError::Backend { tried: "open the store's file", source: source.into() })?;
    let backend = QuotaFile { file: FileBackend::new(file)?, quota: options.quota_bytes.clone() };
    let database = redb::Builder::new().set_cache_size(options.cache_bytes).create_with_backend(backend)?;
    let txn = database.begin_read()?;
    let format = match txn.open_table(COUNTERS) {
        Ok(counters) => counters.get(FORMAT)?.map(|v| v.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(other) => return Err(other.into()),
    };
    drop(txn);
    match format {
        Some(FORMAT_NOW) => {}
        Some(newer) => {
            let message = format!("the store has format {newer}, this version reads {FORMAT_NOW}");
            return Err(Failure::Store(StoreError::Unavailable(message)));
        }
        None => create_tables(&database)?,
    }
    Ok(database)
}

fn create_tables(database: &Database) -> Result<(), Failure> {
    let txn = database.begin_write()?;
    txn.open_table(RECORDS)?;
    txn.open_table(VERSIONS)?;
    txn.open_table(LEASES)?;
    txn.open_table(COUNTERS)?.insert(FORMAT, FORMAT_NOW)?;
    Ok(txn.commit()?)
}

impl Log for Disk {
    fn commit(&self, batch: &Batch, garbage: &[VersionRef]) -> Result<()> {
        let _until_repaired = self.repair.lock();
        let written = match &*self.slot.read() {
            Slot::Open(database) => write(database, batch, garbage).map_err(Failure::into_error),
            Slot::Broken => Err(StoreError::Unavailable("the file could not be reopened".into())),
            Slot::Closed => return Err(StoreError::Unavailable("the store has been closed".into())),
        };
        if written.is_err()
            && let Err(failure) = self.reopen()
        {
            error!(path = %self.path.display(), error = %failure, "reopening the store failed; the next write tries again");
        }
        written
    }

    fn load(&self) -> Result<Index> {
        self.read(|txn| {
            let mut index = Index::default();
            for lease in txn.open_table(LEASES)?.range::<u64>(..)? {
                let (lease, ttl) = lease?;
                index.add_lease(LeaseId(lease.value()), Duration::from_millis(ttl.value()));
            }
            for version in txn.open_table(VERSIONS)?.range::<(&[u8], u64)>(..)? {
                let (at, header) = version?;
                let (key, revision) = at.value();
                let change = Change {
                    key: Bytes::copy_from_slice(key),
                    revision: Revision(revision),
                    record: decode(header.value())?,
                };
                let version = Version::of(&change);
                index.push(change.key, version);
            }
            let counters = txn.open_table(COUNTERS)?;
            let counter = |name| Ok::<_, StorageError>(counters.get(name)?.map_or(0, |v| v.value()));
            index.revision = Revision(counter(REVISION)?);
            index.compacted = Revision(counter(COMPACTED)?);
            index.last_lease = counter(LAST_LEASE)?;
            Ok(index)
        })
    }

    fn records(&self, wanted: &[VersionRef]) -> Result<Vec<Option<Record>>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|txn| {
            let records = txn.open_table(RECORDS)?;
            // In the file's order, so that neighbours share a read of their page.
            let mut order: Vec<usize> = (0..wanted.len()).collect();
            order.sort_unstable_by_key(|&i| wanted[i].1);
            let mut found = vec![None; wanted.len()];
            for i in order {
                let (key, revision) = &wanted[i];
                if let Some(stored) = records.get((revision.0, &key[..]))? {
                    found[i] = Some(decode(stored.value())?);
                }
            }
            Ok(found)
        })
    }

    fn since(&self, after: Revision, through: Revision, limit: usize) -> Result<(Vec<Change>, Revision)> {
        self.read(|txn| {
            let empty: &[u8] = &[];
            let mut changes: Vec<Change> = Vec::new();
            for entry in txn.open_table(RECORDS)?.range((after.0 + 1, empty)..(through.0 + 1, empty))? {
                let (at, record) = entry?;
                let (revision, key) = at.value();
                if changes.len() >= limit
                    && let Some(last) = changes.last()
                    && last.revision.0 != revision
                {
                    let reached = last.revision;
                    return Ok((changes, reached));
                }
                let key = Bytes::copy_from_slice(key);
                changes.push(Change { key, revision: Revision(revision), record: decode(record.value())? });
            }
            Ok((changes, through))
        })
    }
}

fn write(database: &Database, batch: &Batch, garbage: &[VersionRef]) -> Result<(), Failure> {
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

type Records<'txn> = Table<'txn, (u64, &'static [u8]), &'static [u8]>;
type Versions<'txn> = Table<'txn, (&'static [u8], u64), &'static [u8]>;

fn insert(records: &mut Records<'_>, versions: &mut Versions<'_>, change: &Change) -> Result<(), Failure> {
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

fn create_new(path: &Path) -> Result<Database, Failure> {
    let made = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = made
        .map_err(|source| StoreError::Backend { tried: "make the snapshot's file", source: source.into() })?;
    let database = redb::Builder::new().set_cache_size(1 << 20).create_file(file)?;
    create_tables(&database)?;
    Ok(database)
}

fn write_copy(from: &ReadTransaction, path: &Path) -> Result<Revision, Failure> {
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

fn encode(record: &Record) -> [u8; HEADER] {
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

fn decode(mut stored: &[u8]) -> Result<Record, Failure> {
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

/// What can go wrong in the file, before it is said in the store's terms.
enum Failure {
    Redb(redb::Error),
    Store(StoreError),
}

/// redb has an error type per operation; all become its common one.
macro_rules! from_redb {
    ($($kind:ident),*) => {
        $(impl From<redb::$kind> for Failure {
            fn from(failure: redb::$kind) -> Self {
                Self::Redb(failure.into())
            }
        })*
    };
}

from_redb!(CommitError, DatabaseError, StorageError, TableError, TransactionError);

impl From<StoreError> for Failure {
    fn from(failure: StoreError) -> Self {
        Self::Store(failure)
    }
}

impl Failure {
    fn into_error(self) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Store(failure) => failure,
            Self::Redb(redb::Error::Io(failure))
                if matches!(failure.kind(), FileTooLarge | QuotaExceeded | StorageFull) =>
            {
                StoreError::DiskFull
            }
            Self::Redb(failure) => {
                StoreError::Backend { tried: "use the store's file", source: failure.into() }
            }
        }
    }
}
