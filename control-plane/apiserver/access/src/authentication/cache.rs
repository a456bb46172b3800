//! Tokens whose signature has been checked. What may change while a token lives (its time, the objects it is bound to)
//! is never cached: it is checked on each request.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::jwt::Claims;

/// A node of 110 pods refreshes one token each; this is enough for some ten thousand pods' worth of active clients.
const CAPACITY: usize = 4096;

type Key = [u8; 32];

/// Keyed by digest, so that the memory of the server holds no usable credential.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<HashMap<Key, Arc<Claims>>>);

impl VerifiedTokens {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Claims>> {
        self.0.lock().get(&digest(token)).cloned()
    }

    pub(super) fn put(&self, token: &str, claims: Arc<Claims>, now: i64) {
        let mut known = self.0.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, claims| claims.exp > now);
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(digest(token), claims);
    }
}

fn digest(token: &str) -> Key {
    Sha256::digest(token).into()
}
