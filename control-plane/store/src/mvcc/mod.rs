//! The MVCC core: commands in, replies and changes out. No IO, no clock, no values of the past.
//!
//! The index knows every key's versions (revisions, not values); the log outside knows the values. [`apply`] decides a
//! command against the index and the batch before it, changing only the batch; [`Index::install`] takes a batch in
//! once it is durable. So a batch whose commit failed is simply dropped, and readers never see what may vanish.

mod apply;
mod index;
#[cfg(test)]
mod model_test;

pub(crate) use apply::{Batch, Command, Outcome, apply, last_of_each_key};
pub(crate) use index::{Index, Version, VersionRef};

use bytes::Bytes;

use crate::types::{EventKind, KeyValue, LeaseId, Revision};

/// What the log keeps of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: EventKind,
    pub(crate) create: Revision,
    /// The version before this one; 0 for a creation.
    pub(crate) before: Revision,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) value: Bytes,
}

/// One key's new version at one revision: an entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Bytes,
    pub(crate) revision: Revision,
    pub(crate) record: Record,
}

impl Change {
    pub(crate) fn key_value(&self) -> KeyValue {
        self.record.clone().key_value(self.key.clone(), self.revision)
    }
}

impl Record {
    pub(crate) fn key_value(self, key: Bytes, revision: Revision) -> KeyValue {
        KeyValue {
            key,
            value: self.value,
            create_revision: self.create,
            mod_revision: revision,
            lease: self.lease,
        }
    }
}
