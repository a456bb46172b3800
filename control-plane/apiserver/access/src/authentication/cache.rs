//! Tokens whose signature has been checked. Time, audience and account are checked on each request all the same; the pod
//! or secret that a token is bound to, every ten seconds (upstream caches the whole answer for as long).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::jwt::Claims;

/// A node of 110 pods refreshes one token each; this is enough for some ten thousand pods' worth of active clients.
const CAPACITY: usize = 4096;

const BOUND_CHECK_SECONDS: i64 = 10;

type Key = [u8; 32];

/// The claims of a token that one of the keys has signed.
pub(super) struct Verified {
    pub(super) claims: Claims,
    /// When what it is bound to was last seen alive.
    bound_seen: AtomicI64,
}

impl Verified {
    pub(super) fn new(claims: Claims) -> Self {
        Self { claims, bound_seen: AtomicI64::new(i64::MIN) }
    }

    pub(super) fn bound_was_seen(&self, now: i64) -> bool {
        let seen = self.bound_seen.load(Ordering::Relaxed);
        seen <= now && now.saturating_sub(seen) < BOUND_CHECK_SECONDS
    }

    pub(super) fn saw_bound(&self, now: i64) {
        self.bound_seen.store(now, Ordering::Relaxed);
    }
}

/// Keyed by digest, so that the memory of the server holds no usable credential.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<HashMap<Key, Arc<Verified>>>);

impl VerifiedTokens {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Verified>> {
        self.0.lock().get(&digest(token)).cloned()
    }

    pub(super) fn put(&self, token: &str, verified: Arc<Verified>, now: i64) {
        let mut known = self.0.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, verified| verified.claims.exp > now);
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(digest(token), verified);
    }
}

fn digest(token: &str) -> Key {
    Sha256::digest(token).into()
}
