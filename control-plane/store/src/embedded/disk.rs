//! The log in a redb file. `format` has the tables.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase, StorageError};
use tracing::{error, info};

use super::EmbeddedOptions;
use super::failure::{Failure, guarded};
use super::file::{Medium, QuotaFile};
use super::format::{
    COMPACTED, COUNTERS, FORMAT, FORMAT_NOW, LAST_LEASE, LEASES, RECORDS, REVISION, VERSIONS, create_tables,
    decode, write, write_copy,
};
use super::inspect::{Facts, inspect};
use super::tools::compact;
use crate::engine::Log;
use crate::mvcc::{Batch, Change, Index, Record, Version, VersionRef};
use crate::types::{LeaseId, Result, Revision, StoreError};

enum Slot {
    Open(Database),
    /// A failed commit left no database to reopen; the next commit tries again.
    Broken,
    Closed,
}

pub(crate) struct Disk {
    medium: Arc<dyn Medium>,
    options: EmbeddedOptions,
    slot: RwLock<Slot>,
    /// Held by a commit until its failure, if any, has been repaired: readers that stumble over it wait here.
    repair: Mutex<()>,
}

impl Disk {
    pub(super) fn open(medium: Arc<dyn Medium>, options: EmbeddedOptions) -> Result<Self> {
        let database = open_database(&*medium, &options)?;
        Ok(Self { medium, options, slot: RwLock::new(Slot::Open(database)), repair: Mutex::new(()) })
    }

    /// Waits for readers, then closes the file.
    pub(crate) fn close(&self) {
        *self.slot.write() = Slot::Closed;
    }

    /// A consistent copy as a new file that can be opened like this one.
    pub(crate) fn copy(&self, to: &Path) -> Result<Revision> {
        self.read(|txn| write_copy(txn, to))
    }

    /// What it holds, and what is wrong with it.
    pub(super) fn inspect(&self) -> Result<(Facts, Vec<String>)> {
        self.read(inspect)
    }

    /// Gives back the file's free space. Reads and writes wait for it.
    pub(super) fn defragment(&self) -> Result<()> {
        let _no_commit = self.repair.lock();
        let done = match &mut *self.slot.write() {
            Slot::Open(database) => {
                guarded(|| compact(database).map_err(Failure::from)).map_err(Failure::into_error)
            }
            Slot::Broken => Err(StoreError::Unavailable("the file could not be reopened".into())),
            Slot::Closed => return Err(StoreError::Unavailable("the store has been closed".into())),
        };
        if done.is_err() {
            self.reopen()?;
        }
        done
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
            Slot::Open(database) => guarded(|| work(&database.begin_read()?)),
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
        let broken = std::mem::replace(&mut *slot, Slot::Broken);
        // A database that has panicked may do so again when it is closed.
        if let Err(failure) = guarded(|| {
            drop(broken);
            Ok(())
        }) {
            error!(failure = %failure.into_error(), "the store's file was not closed well");
        }
        *slot = Slot::Open(open_database(&*self.medium, &self.options)?);
        info!(path = %self.medium.path().display(), "store reopened after a failed write");
        Ok(())
    }
}

pub(super) fn open_database(medium: &dyn Medium, options: &EmbeddedOptions) -> Result<Database> {
    guarded(|| open_inner(medium, options)).map_err(|failure| match failure {
        Failure::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::Unavailable(format!(
            "{} is in use by another process; stop it first, or choose another data directory",
            medium.path().display()
        )),
        other => other.into_error(),
    })
}

fn open_inner(medium: &dyn Medium, options: &EmbeddedOptions) -> Result<Database, Failure> {
    let file = medium.open().map_err(|source| match source.get_ref().is_some_and(is_in_use) {
        true => Failure::Redb(redb::Error::DatabaseAlreadyOpen),
        false => {
            Failure::Store(StoreError::Backend { tried: "open the store's file", source: source.into() })
        }
    })?;
    let backend = QuotaFile { file, quota: options.quota_bytes.clone() };
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

fn is_in_use(failure: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(failure.downcast_ref(), Some(redb::DatabaseError::DatabaseAlreadyOpen))
}

impl Log for Disk {
    fn commit(&self, batch: &Batch, garbage: &[VersionRef]) -> Result<()> {
        let _until_repaired = self.repair.lock();
        let written = match &*self.slot.read() {
            Slot::Open(database) => guarded(|| write(database, batch, garbage)).map_err(Failure::into_error),
            Slot::Broken => Err(StoreError::Unavailable("the file could not be reopened".into())),
            Slot::Closed => return Err(StoreError::Unavailable("the store has been closed".into())),
        };
        if written.is_err()
            && let Err(failure) = self.reopen()
        {
            error!(path = %self.medium.path().display(), error = %failure, "reopening the store failed; the next write tries again");
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
