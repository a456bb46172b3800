//! What a controller has asked the API for and not yet seen come back in its cache. Until it has, the cache is known
//! to be behind, and counting objects in it would make the controller ask for the same again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// After this long the expectations of a key are given up: better to act on a doubtful cache than never.
const EXPIRY: Duration = Duration::from_secs(5 * 60);

struct Expected {
    creations: i64,
    deletions: HashSet<String>,
    since: Instant,
}

/// Outstanding creations (by count) and deletions (by the name of what is to go), per key.
#[derive(Default)]
pub struct Expectations(Mutex<HashMap<String, Expected>>);

impl Expectations {
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is about to be asked for; call it before asking. Replaces what the key expected before.
    pub fn expect(&self, key: &str, creations: usize, deletions: impl IntoIterator<Item = String>) {
        let expected = Expected {
            creations: i64::try_from(creations).unwrap_or(i64::MAX),
            deletions: deletions.into_iter().collect(),
            since: Instant::now(),
        };
        self.0.lock().insert(key.into(), expected);
    }

    /// A creation was seen in the cache, or will not happen after all.
    pub fn creation_observed(&self, key: &str) {
        self.creations_observed(key, 1);
    }

    /// As many creations were seen, or will not happen.
    pub fn creations_observed(&self, key: &str, count: usize) {
        if let Some(expected) = self.0.lock().get_mut(key) {
            expected.creations -= i64::try_from(count).unwrap_or(i64::MAX);
        }
    }

    /// The deletion of `name` was seen in the cache, or will not happen after all. Seen twice counts once.
    pub fn deletion_observed(&self, key: &str, name: &str) {
        if let Some(expected) = self.0.lock().get_mut(key) {
            expected.deletions.remove(name);
        }
    }

    /// Whether the cache may be trusted for this key: nothing was expected, all of it was seen, or it took too long.
    pub fn satisfied(&self, key: &str) -> bool {
        self.0.lock().get(key).is_none_or(|expected| {
            (expected.creations <= 0 && expected.deletions.is_empty()) || expected.since.elapsed() >= EXPIRY
        })
    }

    /// The object of that key is gone.
    pub fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn satisfied_when_all_was_seen_or_too_long_ago() {
        let expectations = Expectations::new();
        assert!(expectations.satisfied("a"));
        expectations.expect("a", 2, ["x".to_string()]);
        expectations.creation_observed("a");
        expectations.deletion_observed("a", "x");
        expectations.deletion_observed("a", "x");
        assert!(!expectations.satisfied("a"));
        expectations.creation_observed("a");
        assert!(expectations.satisfied("a"));

        expectations.expect("a", 1, []);
        tokio::time::advance(EXPIRY - Duration::from_secs(1)).await;
        assert!(!expectations.satisfied("a"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(expectations.satisfied("a"));

        expectations.expect("a", 1, []);
        expectations.forget("a");
        assert!(expectations.satisfied("a"));
    }
}
