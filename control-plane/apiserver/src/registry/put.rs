//! What a write does to the store, and what it leaves to answer with.

use bytes::Bytes;
use oarlock_api::Status;
use oarlock_store::{Compare, KeyValue, Op, Revision, Txn, TxnReply};
use serde_json::Value;

use super::{Registry, Served, Storage, set_revision, store_failed};
use crate::cache::Offer;
use crate::encode::{Encoded, Open};

/// A write that has been done.
pub(crate) struct Put {
    pub(crate) revision: Revision,
    /// The object as JSON, where it was written as it is.
    pub(crate) json: Option<Bytes>,
}

/// What a write made of an object, in the served version.
pub(crate) enum Written {
    Tree(Value),
    /// As it is printed.
    Json(Bytes),
}

impl Written {
    pub(crate) fn into_tree(self) -> Value {
        match self {
            Self::Tree(object) => object,
            Self::Json(json) => tree_of(&json),
        }
    }
}

/// The tree of an object that we printed.
fn tree_of(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("it was printed from a tree")
}

impl Put {
    /// With the object that was written, which is not looked at where its JSON is at hand.
    pub(super) fn of(self, served: &Served, mut object: Value) -> Written {
        match self.json {
            Some(json) if served.conversion.is_none() => Written::Json(json),
            Some(json) => Written::Tree(served.outward(tree_of(&json))),
            None => {
                set_revision(&mut object, self.revision.0);
                Written::Tree(served.outward(object))
            }
        }
    }
}

/// A write that is about to be done.
struct Pending<'a> {
    op: Op,
    offer: Offer<'a>,
    open: Option<Open>,
}

impl Registry {
    /// Writes one key if it is still at `expected`; the inner error is what stands there instead. `encoded` is `object`.
    pub(super) async fn put(
        &self,
        storage: &Storage,
        key: &Bytes,
        encoded: Encoded,
        expected: Revision,
        object: &Value,
    ) -> Result<Result<Put, Option<KeyValue>>, Status> {
        let pending = self.prepare(storage, key, encoded, object).await?;
        self.carry_out(key, pending, expected).await
    }

    /// As [`put`](Self::put); the object is dropped before the store is waited for, unless it is needed afterwards. Who waits
    /// often goes on in another thread, where it costs more to free what this one made.
    pub(super) async fn put_away(
        &self,
        storage: &Storage,
        key: &Bytes,
        encoded: Encoded,
        expected: Revision,
        object: &mut Value,
    ) -> Result<Result<Put, Option<KeyValue>>, Status> {
        let pending = self.prepare(storage, key, encoded, object).await?;
        if pending.open.is_some() {
            drop(std::mem::take(object));
        }
        self.carry_out(key, pending, expected).await
    }

    async fn prepare<'a>(
        &self,
        storage: &'a Storage,
        key: &'a Bytes,
        encoded: Encoded,
        object: &Value,
    ) -> Result<Pending<'a>, Status> {
        let lease = match self.habits.event_ttl.filter(|_| storage.passing) {
            Some(ttl) => Some(self.leases.lease(ttl).await.map_err(store_failed)?),
            None => None,
        };
        let offer = storage.drafts.offer(storage, key, &encoded, object);
        Ok(Pending {
            op: Op::Put { key: key.clone(), value: encoded.stored, lease },
            offer,
            open: encoded.open,
        })
    }

    async fn carry_out(
        &self,
        key: &Bytes,
        pending: Pending<'_>,
        expected: Revision,
    ) -> Result<Result<Put, Option<KeyValue>>, Status> {
        let Pending { op, offer, open } = pending;
        Ok(self.swap(key, vec![op], expected).await?.map(|revision| {
            offer.accepted();
            Put { revision, json: open.map(|open| open.at_revision(revision.0)) }
        }))
    }

    pub(super) async fn remove(
        &self,
        key: &Bytes,
        expected: Revision,
    ) -> Result<Result<Revision, Option<KeyValue>>, Status> {
        self.swap(key, vec![Op::Delete { key: key.clone() }], expected).await
    }

    async fn swap(
        &self,
        key: &Bytes,
        ops: Vec<Op>,
        expected: Revision,
    ) -> Result<Result<Revision, Option<KeyValue>>, Status> {
        let guards = vec![Compare { key: key.clone(), mod_revision: expected }];
        match self.store.transact(Txn { guards, ops }).await.map_err(store_failed)? {
            TxnReply::Done { revision } => Ok(Ok(revision)),
            TxnReply::Failed { mut current, .. } => Ok(Err(current.pop().flatten())),
        }
    }
}
