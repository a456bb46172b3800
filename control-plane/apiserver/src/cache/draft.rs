//! What a writer knows of an object before the store does: the cache takes it over instead of reading the object again.

use std::collections::HashMap;

use bytes::Bytes;
use oarlock_store::KeyValue;
use parking_lot::Mutex;
use serde_json::Value;

use super::Entry;
use super::entry::Known;
use crate::encode::{Encoded, Open};
use crate::registry::Storage;

/// Writes under way at most; what goes beyond is read from the store as if somebody else had written it.
const DRAFTS_MAX: usize = 1024;

/// An entry that lacks only its revision.
#[derive(Debug)]
pub(crate) struct Draft {
    stored: Bytes,
    open: Open,
    known: Known,
}

/// Drafts of one resource by key. A draft stands for what it was made from, and is of use only where the store tells of
/// the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Drafts(Mutex<HashMap<Bytes, Draft>>);

/// Takes a draft back when the write that it was made for has not been done.
#[must_use]
pub(crate) struct Offer<'a> {
    drafts: &'a Drafts,
    key: Option<&'a Bytes>,
}

impl Drafts {
    /// Tells the cache what is about to be written under `key`. Custom resources are read again: what the store holds of
    /// them is seen through the newest definition.
    pub(crate) fn offer<'a>(
        &'a self,
        storage: &Storage,
        key: &'a Bytes,
        encoded: &Encoded,
        object: &Value,
    ) -> Offer<'a> {
        let open = encoded.open.as_ref().filter(|_| storage.custom.is_none());
        if let Some(open) = open {
            let known = Known::of(storage, object);
            let draft = Draft { stored: encoded.stored.clone(), open: open.clone(), known };
            let mut drafts = self.0.lock();
            if drafts.len() < DRAFTS_MAX {
                drafts.insert(key.clone(), draft);
            }
        }
        Offer { drafts: self, key: open.map(|_| key) }
    }

    /// The entry of what the store tells, if it was told before.
    pub(super) fn take(&self, kv: &KeyValue) -> Option<Entry> {
        let draft = {
            let mut drafts = self.0.lock();
            if drafts.get(&kv.key)?.stored != kv.value {
                return None;
            }
            drafts.remove(&kv.key)?
        };
        Some(Entry::complete(draft.known, &draft.open, kv.mod_revision.0))
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Offer<'_> {
    /// It has been written.
    pub(crate) fn accepted(mut self) {
        self.key = None;
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.drafts.0.lock().remove(key);
        }
    }
}
