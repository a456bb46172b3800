//! The file under redb, with a quota: growing beyond it fails as a full disk does.
//!
//! [`Medium`] is the seam: tests put a disk there that loses and tears what was not synced.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Where the store's bytes are.
pub(super) trait Medium: Send + Sync + 'static {
    /// Opens it. A store that is not there is made beside its place, and put there whole.
    fn open(&self) -> Io<Box<dyn StorageBackend>>;

    /// What to call it.
    fn path(&self) -> &Path;
}

pub(super) struct FileMedium(pub(super) PathBuf);

impl Medium for FileMedium {
    fn open(&self) -> Io<Box<dyn StorageBackend>> {
        let file = OpenOptions::new().read(true).write(true).open(&self.0)?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

#[derive(Debug)]
pub(super) struct QuotaFile {
    pub(super) file: Box<dyn StorageBackend>,
    pub(super) quota: Arc<AtomicU64>,
}

type Io<T, E = io::Error> = Result<T, E>;

impl StorageBackend for QuotaFile {
    fn len(&self) -> Io<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Io<()> {
        if len > self.quota.load(Ordering::Relaxed) && len > self.file.len()? {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Io<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Io<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> Io<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Io<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
