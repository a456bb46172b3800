//! The cluster's memory: a multi-version key space under one revision counter, behind one trait.
//!
//! It holds bytes and never knows a kind. Keys are upstream's (`/registry/pods/default/web-0`).
//!
//! `mvcc` decides (pure), `engine` serves what was decided from any log of records, `embedded` keeps that log in
//! a file, `memory` in a map. [`etcd`] speaks to etcd instead. [`contract`] is the suite that every backend passes, and that
//! a wrapper (encryption) runs as well. How the parts work together stands in `README.md`, the file in `FORMAT.md`.
//!
//! On etcd others write too: a value may be protobuf (`k8s\0`), a key of a kind that we do not serve, and revisions advance
//! without an event. [`Store::revision`] makes every watch report progress up to what it returned. A write that failed as
//! `Unavailable` may have happened.
//!
//! ```
//! # use oarlock_store::{Compare, MemoryStore, Op, Revision, Store, StoreError, Txn, TxnReply};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StoreError> {
//! let store = MemoryStore::new();
//! let key = "/registry/configmaps/default/a";
//! let create = || Txn {
//!     guards: vec![Compare { key: key.into(), mod_revision: Revision(0) }], // it must not exist
//!     ops: vec![Op::Put { key: key.into(), value: "{}".into(), lease: None }],
//! };
//! assert!(matches!(store.transact(create()).await?, TxnReply::Done { .. }));
//! let TxnReply::Failed { current, .. } = store.transact(create()).await? else { panic!("it was there") };
//! assert_eq!(current[0].as_ref().expect("it was there").value, "{}");
//! # Ok(())
//! # }
//! ```

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
