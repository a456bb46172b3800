//! The cluster's memory: a multi-version key space under one revision counter, behind one trait.
//!
//! It holds bytes and never knows a kind. Keys are upstream's (`/registry/pods/default/web-0`).
//!
//! [`mvcc`] decides (pure), [`engine`] serves what was decided from any log of records, [`embedded`] keeps that log in
//! a file, [`memory`] in a map. [`etcd`] speaks to etcd instead. [`contract`] is the suite that every backend passes.

pub mod contract;
mod embedded;
mod engine;
pub mod etcd;
mod memory;
pub mod migrate;
mod mvcc;
mod types;

pub use embedded::{
    Answered, Embedded, EmbeddedOptions, Facts, Report, Restore, advance_embedded, ask_embedded,
    check_embedded, copy_embedded, defragment_embedded, open_embedded, restore_embedded,
};
pub use etcd::Etcd;
pub use memory::MemoryStore;
pub use types::{
    Compare, Event, EventKind, KeyValue, LeaseId, ListOptions, Listing, Op, Result, Revision, Store,
    StoreError, Txn, TxnReply, WatchBatch, WatchStream,
};

/// Most bytes of keys and values in one transaction: etcd's default request size.
pub const REQUEST_LIMIT: usize = 3 << 19;
