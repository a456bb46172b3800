//! Objects that the cache has read and the store cannot open any more, because their key of encryption has gone. Who asks for
//! the newest state of one, or writes to it, is told so, as upstream's reads from etcd are; lists and watches go on from
//! what was read.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use oarlock_api::Status;
use oarlock_apiserver_encryption::{Encryption, is_encrypted};
use oarlock_store::{ListOptions, StoreError};

use super::{Registry, Stored, store_failed};

/// Values that are tried at once after a change of keys.
const PAGE: usize = 500;

/// The keys that values are opened with now, and which of their generations the caches were read with.
pub(crate) struct Keys {
    pub(crate) encryption: Arc<Encryption>,
    pub(crate) read_with: u64,
}

impl Registry {
    /// Whether the store can still open this value, which the cache holds. After each change of keys the first who asks has all
    /// values of the resource tried.
    pub(crate) async fn opens(&self, stored: &Stored, key: &[u8]) -> Result<bool, Status> {
        let Some(keys) = &self.keys else { return Ok(true) };
        let (now, cache) = (keys.encryption.generation(), &stored.cache);
        if cache.opened_with().max(keys.read_with) != now {
            let covered = keys.encryption.covers(key);
            let closed = if covered { self.closed(&stored.storage.prefix).await } else { Ok(HashSet::new()) };
            cache.tried_with(now, closed.map_err(store_failed)?);
        }
        Ok(!cache.is_closed(key))
    }

    /// What below a prefix comes out of the store as it was sealed.
    async fn closed(&self, prefix: &str) -> Result<HashSet<Bytes>, StoreError> {
        let (mut closed, mut after) = (HashSet::new(), None);
        loop {
            let options = ListOptions { after, limit: Some(PAGE), at: None };
            let page = self.store.list(prefix.as_bytes(), options).await?;
            after = page.items.last().map(|kv| kv.key.clone());
            closed.extend(page.items.into_iter().filter(|kv| is_encrypted(&kv.value)).map(|kv| kv.key));
            if page.remaining == 0 || after.is_none() {
                return Ok(closed);
            }
        }
    }
}
