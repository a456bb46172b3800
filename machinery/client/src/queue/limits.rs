//! How long a failed item waits: its own exponential back-off, and one token bucket for all items.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use oarlock_base::Backoff;
use tokio::time::Instant;

/// The limits of a queue's [`add_rate_limited`](super::WorkQueue::add_rate_limited).
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Per item: the delay after its first failure, doubling up to the longest.
    pub first: Duration,
    pub longest: Duration,
    /// For all items together; `None` for no such limit.
    pub per_second: Option<f64>,
    pub burst: f64,
}

impl Default for RateLimits {
    /// Upstream's `DefaultControllerRateLimiter`: 5 ms to 1000 s, 10 a second after 100 at once.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(5),
            longest: Duration::from_secs(1000),
            per_second: Some(10.0),
            burst: 100.0,
        }
    }
}

pub(super) struct Limiter<T> {
    limits: RateLimits,
    failures: HashMap<T, u32>,
    tokens: f64,
    at: Option<Instant>,
}

impl<T: Clone + Eq + Hash> Limiter<T> {
    pub(super) fn new(limits: RateLimits) -> Self {
        Self { limits, failures: HashMap::new(), tokens: limits.burst, at: None }
    }

    /// The delay of an item that failed once more: the longer of its own and the bucket's.
    pub(super) fn delay(&mut self, item: &T, now: Instant) -> Duration {
        let failures = self.failures.entry(item.clone()).or_default();
        let own = Backoff::doubling(self.limits.first, self.limits.longest).delay(*failures);
        *failures = failures.saturating_add(1);
        own.max(self.take_token(now))
    }

    /// Takes a token, if need be one of the future, and gives the time until it is there.
    fn take_token(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.limits.per_second else { return Duration::ZERO };
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * rate).min(self.limits.burst) - 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / rate) }
    }

    pub(super) fn forget(&mut self, item: &T) {
        self.failures.remove(item);
    }

    pub(super) fn failures(&self, item: &T) -> u32 {
        self.failures.get(item).copied().unwrap_or_default()
    }
}
