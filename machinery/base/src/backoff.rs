//! Exponential back-off as data: a policy, and the state of one thing that is being retried.

use std::time::Duration;

/// How long to wait before each try: `initial`, then `factor` times more each time, never above `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
    pub factor: f64,
    /// The delay is lengthened by a random share of itself, up to this one (0.1: up to a tenth longer).
    pub jitter: f64,
}

impl Backoff {
    /// Doubles from `initial` to `max`, without jitter.
    pub const fn doubling(initial: Duration, max: Duration) -> Self {
        Self { initial, max, factor: 2.0, jitter: 0.0 }
    }

    /// The same policy, with jitter.
    pub const fn with_jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// The delay before try number `attempt` (0 is the first retry), without jitter.
    pub fn delay(&self, attempt: u32) -> Duration {
        // powi saturates to infinity, and the minimum with `max` brings it back.
        let seconds = self.initial.as_secs_f64() * self.factor.powi(attempt.min(1024) as i32);
        Duration::from_secs_f64(seconds.min(self.max.as_secs_f64()))
    }

    /// A fresh state under this policy.
    pub fn start(self) -> BackoffState {
        BackoffState { policy: self, attempt: 0 }
    }
}

/// The back-off of one thing: counts the failures since the last [`reset`](Self::reset).
#[derive(Debug, Clone)]
pub struct BackoffState {
    policy: Backoff,
    attempt: u32,
}

impl BackoffState {
    /// The delay before the next try; each call counts one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.policy.delay(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        if self.policy.jitter > 0.0 {
            delay.mul_f64(1.0 + rand::random::<f64>() * self.policy.jitter)
        } else {
            delay
        }
    }

    /// The thing succeeded: the next failure starts from the initial delay.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Failures since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_maximum_and_starts_again() {
        let mut state = Backoff::doubling(Duration::from_secs(10), Duration::from_secs(300)).start();
        let seconds: Vec<u64> = (0..7).map(|_| state.next_delay().as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        state.reset();
        assert_eq!(state.next_delay().as_secs(), 10);
    }

    #[test]
    fn a_late_attempt_does_not_overflow() {
        let policy = Backoff::doubling(Duration::from_millis(5), Duration::from_secs(1000));
        assert_eq!(policy.delay(u32::MAX), Duration::from_secs(1000));
    }

    #[test]
    fn jitter_only_lengthens() {
        let mut state =
            Backoff::doubling(Duration::from_secs(1), Duration::from_secs(1)).with_jitter(0.5).start();
        for _ in 0..100 {
            let delay = state.next_delay().as_secs_f64();
            assert!((1.0..=1.5).contains(&delay), "{delay}");
        }
    }
}
