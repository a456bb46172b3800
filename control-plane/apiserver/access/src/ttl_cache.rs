//! Answers that hold for a while. Bounded: when it is full, what has expired goes, and if nothing has, everything.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) struct TtlCache<K, V> {
    known: Mutex<HashMap<K, (Instant, V)>>,
    capacity: usize,
}

impl<K: Eq + Hash, V: Clone> TtlCache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { known: Mutex::default(), capacity }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let now = Instant::now();
        self.known.lock().get(key).filter(|(until, _)| *until > now).map(|(_, value)| value.clone())
    }

    pub(crate) fn put(&self, key: K, value: V, ttl: Duration) {
        if ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut known = self.known.lock();
        if known.len() >= self.capacity {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= self.capacity {
            known.clear();
        }
        known.insert(key, (now + ttl, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_expire_and_never_pile_up() {
        let cache = TtlCache::new(2);
        cache.put("a", 1, Duration::from_secs(10));
        cache.put("b", 2, Duration::from_secs(60));
        cache.put("never", 0, Duration::ZERO);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"never")), (Some(1), Some(2), None));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(cache.get(&"a"), None);
        cache.put("c", 3, Duration::from_secs(60));
        assert_eq!((cache.get(&"b"), cache.get(&"c")), (Some(2), Some(3)), "what had expired made room");
        cache.put("d", 4, Duration::from_secs(60));
        assert_eq!((cache.get(&"b"), cache.get(&"d")), (None, Some(4)), "full of what holds: all went");
    }
}
