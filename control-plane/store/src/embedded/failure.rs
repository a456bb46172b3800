//! What can go wrong in the file, and what it is in the store's terms.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::types::StoreError;

/// What can go wrong in the file, before it is said in the store's terms.
pub(super) enum Failure {
    Redb(redb::Error),
    Store(StoreError),
    /// Pages are not what they must be.
    Damaged(String),
}

/// redb verifies pages when it is told to, and otherwise takes them for what it wrote: where something else has changed the
/// file, it panics. That is a failure of this call, and neither of the process nor of the writer's thread.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What was being used is thrown away with its transaction, or opened anew.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().map(String::as_str);
        let told = told.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure::Damaged(told.unwrap_or("no message").to_string()))
    })
}

/// `oarlock datastore check` reads it all.
#[derive(Debug, thiserror::Error)]
#[error("the file is damaged; check it, and restore a backup: {0}")]
struct Damage(String);

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
    pub(super) fn into_error(self) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Store(failure) => failure,
            Self::Damaged(why) => {
                StoreError::Backend { tried: "use the store's file", source: Box::new(Damage(why)) }
            }
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
