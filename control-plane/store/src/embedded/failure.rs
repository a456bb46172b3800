//! What can go wrong in the file, and what it is in the store's terms.

use std::io;

use crate::types::StoreError;

/// What can go wrong in the file, before it is said in the store's terms.
pub(super) enum Failure {
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
    pub(super) fn into_error(self) -> StoreError {
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
