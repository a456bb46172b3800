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
use crate::kms::Lookups;
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
async fn open(encryption: &Encryption, kv: &mut KeyValue) -> Result<()> {
    match encryption.open(&kv.key, &kv.value).await {
        Ok((plain, _)) => {
            kv.value = plain;
            Ok(())
        }
        Err(error) => Err(unreadable(&kv.key, error)),
    }
}

fn unreadable(key: &[u8], error: OpenError) -> StoreError {
    tracing::error!(key = %String::from_utf8_lossy(key), %error, "a stored value cannot be decrypted");
    StoreError::Backend { tried: "decrypt a stored value", source: Box::new(error) }
}

/// What could not be opened: how many, and the first.
#[derive(Default)]
struct Failures {
    count: usize,
    first: Option<(Bytes, OpenError)>,
}

impl Failures {
    fn tell(self) {
        if let Some((key, error)) = self.first {
            let (key, failed) = (String::from_utf8_lossy(&key), self.count);
            tracing::error!(%key, failed, %error, "stored values cannot be decrypted");
        }
    }
}

/// Opens what can be opened, and says once what could not. What is open already is left as it is.
fn open_some<'a>(
    compiled: &Compiled,
    values: impl Iterator<Item = &'a mut KeyValue>,
    lookups: &mut Lookups,
) -> Failures {
    let mut failures = Failures::default();
    for kv in values {
        match compiled.open(&kv.key, &kv.value, lookups) {
            Ok(opened) => kv.value = opened.plain,
            Err(error) => {
                failures.count += 1;
                failures.first.get_or_insert_with(|| (kv.key.clone(), error));
            }
        }
    }
    failures
}

async fn open_list(encryption: &Encryption, items: &mut [KeyValue]) {
    let mut lookups = Lookups::default();
    let mut failures = open_some(&encryption.current(), items.iter_mut(), &mut lookups);
    if lookups.are_missing() {
        lookups.resolve().await;
        let left = items.iter_mut().filter(|kv| is_encrypted(&kv.value));
        failures = open_some(&encryption.current(), left, &mut lookups);
    }
    failures.tell();
}

fn values(batch: &mut WatchBatch) -> impl Iterator<Item = &mut KeyValue> {
    // A deletion has no value.
    batch.events.iter_mut().filter(|event| event.kind != EventKind::Delete).map(|event| &mut event.now)
}

async fn open_batch(encryption: &Encryption, mut batch: WatchBatch) -> WatchBatch {
    let mut lookups = Lookups::default();
    let mut failures = open_some(&encryption.current(), values(&mut batch), &mut lookups);
    if lookups.are_missing() {
        lookups.resolve().await;
        let left = values(&mut batch).filter(|kv| is_encrypted(&kv.value));
        failures = open_some(&encryption.current(), left, &mut lookups);
    }
    failures.tell();
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
            open(&self.encryption, kv).await?;
        }
        Ok((found, revision))
    }

    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        let mut listing = self.inner.list(prefix, options).await?;
        open_list(&self.encryption, &mut listing.items).await;
        Ok(listing)
    }

    async fn transact(&self, mut txn: Txn) -> Result<TxnReply> {
        for op in &mut txn.ops {
            if let Op::Put { key, value, .. } = op {
                self.encryption.prepare(key).await;
                let sealed = self.encryption.current().seal(key, std::mem::take(value));
                *value = sealed.map_err(|error| StoreError::Backend {
                    tried: "encrypt a value",
                    source: Box::new(error),
                })?;
            }
        }
        let mut reply = self.inner.transact(txn).await?;
        if let TxnReply::Failed { current, .. } = &mut reply {
            for kv in current.iter_mut().flatten() {
                open(&self.encryption, kv).await?;
            }
        }
        Ok(reply)
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let encryption = self.encryption.clone();
        let batches = self.inner.watch(prefix, after).await?;
        let opened = batches.then(move |batch| {
            let encryption = encryption.clone();
            async move { Ok(open_batch(&encryption, batch?).await) }
        });
        Ok(opened.boxed())
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

    async fn sizes(&self) -> Vec<Option<u64>> {
        self.inner.sizes().await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn revision_of(&self, key: &[u8]) -> Option<Revision> {
        self.inner.revision_of(key)
    }

    async fn is_stale(&self, key: &[u8]) -> Result<bool> {
        if self.encryption.current().of(key).is_none() {
            return Ok(false);
        }
        let (Some(kv), _) = self.inner.get(key, None).await? else { return Ok(false) };
        self.encryption.prepare(key).await;
        let opened = self.encryption.open(key, &kv.value).await;
        opened.map(|(_, stale)| stale).map_err(|error| unreadable(key, error))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
