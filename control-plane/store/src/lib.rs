//! The cluster's memory: a multi-version key space under one revision counter, behind one trait.
//!
//! It holds bytes and never knows a kind. Keys are upstream's (`/registry/pods/default/web-0`).

mod types;

pub use types::{
    Compare, Event, EventKind, KeyValue, LeaseId, ListOptions, Listing, Op, Result, Revision, Store, StoreError, Txn,
    TxnReply, WatchBatch, WatchStream,
};
