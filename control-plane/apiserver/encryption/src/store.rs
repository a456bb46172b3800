//! The decorator: values are sealed on their way into a store and opened on their way out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use oarlock_store::{
    EventKind, KeyValue, LeaseId, ListOptions, Listing, Op, Result, Revision, Store, StoreError, Txn,
    TxnReply, WatchBatch, WatchStream,
};

use crate::cipher::OpenError;
use crate::encryption::{Compiled, Encryption};
use crate::transform::SEALED;

/// A store whose values are encrypted as the configuration says. Keys stay plain, snapshots stay encrypted, and the
/// size limit of the store below counts what is stored.
///
/// A value that cannot be opened is an error of [`get`](Store::get) and of a failed transaction's current state. In
/// lists and watches, which are wider than one object, it comes as it is stored: [`is_encrypted`] tells.
#[derive(Clone)]
pub struct EncryptedStore {
    inner: Arc<dyn Store>,
    encryption: Arc<Encryption>,
}

/// Whether a value is sealed still: nothing of the API begins like this.
pub fn is_encrypted(value: &[u8]) -> bool {
    value.starts_with(SEALED)
}

impl EncryptedStore {
    pub fn new(inner: Arc<dyn Store>, encryption: Arc<Encryption>) -> Self {
        Self { inner, encryption }
    }
}

/// Opens a value in its place.
fn open(compiled: &Compiled, kv: &mut KeyValue) -> Result<(), OpenError> {
    kv.value = compiled.open(&kv.key, &kv.value)?.plain;
    Ok(())
}

fn unreadable(key: &[u8], error: OpenError) -> StoreError {
    tracing::error!(key = %String::from_utf8_lossy(key), %error, "a stored value cannot be decrypted");
    StoreError::Backend { tried: "decrypt a stored value", source: Box::new(error) }
}

/// Opens what can be opened, and says once what could not.
fn open_all<'a>(compiled: &Compiled, values: impl Iterator<Item = &'a mut KeyValue>) {
    let mut first: Option<(Bytes, OpenError)> = None;
    let mut failed = 0_usize;
    for kv in values {
        if let Err(error) = open(compiled, kv) {
            failed += 1;
            first.get_or_insert_with(|| (kv.key.clone(), error));
        }
    }
    if let Some((key, error)) = first {
        let key = String::from_utf8_lossy(&key);
        tracing::error!(%key, failed, %error, "stored values cannot be decrypted");
    }
}

fn open_batch(compiled: &Compiled, mut batch: WatchBatch) -> WatchBatch {
    let values = batch.events.iter_mut().flat_map(|event| {
        // A deletion has no value now.
        let now = (event.kind != EventKind::Delete).then_some(&mut event.now);
        now.into_iter().chain(event.before.as_mut())
    });
    open_all(compiled, values);
    batch
}

#[async_trait]
impl Store for EncryptedStore {
    async fn revision(&self) -> Result<Revision> {
        self.inner.revision().await
    }

    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        let (mut found, revision) = self.inner.get(key, at).await?;
        if let Some(kv) = &mut found {
            open(&self.encryption.current(), kv).map_err(|error| unreadable(key, error))?;
        }
        Ok((found, revision))
    }

    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        let mut listing = self.inner.list(prefix, options).await?;
        open_all(&self.encryption.current(), listing.items.iter_mut());
        Ok(listing)
    }

    async fn transact(&self, mut txn: Txn) -> Result<TxnReply> {
        {
            let compiled = self.encryption.current();
            for op in &mut txn.ops {
                if let Op::Put { key, value, .. } = op {
                    *value = compiled.seal(key, std::mem::take(value));
                }
            }
        }
        let mut reply = self.inner.transact(txn).await?;
        if let TxnReply::Failed { current, .. } = &mut reply {
            let compiled = self.encryption.current();
            for kv in current.iter_mut().flatten() {
                open(&compiled, kv).map_err(|error| unreadable(&kv.key, error))?;
            }
        }
        Ok(reply)
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let encryption = self.encryption.clone();
        let batches = self.inner.watch(prefix, after).await?;
        Ok(batches.map(move |batch| Ok(open_batch(&encryption.current(), batch?))).boxed())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.inner.grant(ttl).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.inner.revoke(lease).await
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.inner.compact(through).await
    }

    async fn snapshot(&self, to: &std::path::Path) -> Result<Revision> {
        self.inner.snapshot(to).await
    }

    async fn is_stale(&self, key: &[u8]) -> Result<bool> {
        if self.encryption.current().of(key).is_none() {
            return Ok(false);
        }
        let (Some(kv), _) = self.inner.get(key, None).await? else { return Ok(false) };
        let opened = self.encryption.current().open(key, &kv.value);
        opened.map(|opened| opened.stale).map_err(|error| unreadable(key, error))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
