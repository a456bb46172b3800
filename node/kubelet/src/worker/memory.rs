//! What a pod worker remembers between passes and the runtime does not know: back-offs, reasons for waiting, results of
//! hooks and probes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

/// Upstream's crash and image back-off.
const INITIAL: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(300);

/// Why a container is not running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Waiting {
    pub(crate) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// A delay that doubles with each failure, as upstream's `flowcontrol.Backoff`: the first retry is free, and what went
/// well for twice the longest delay starts anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Delay {
    length: Duration,
    counted_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Delays(HashMap<String, Delay>);

impl Delays {
    /// The delay that holds after a failure at `failed_at`, and when it ends; `None` when it is time.
    pub(crate) fn holding(
        &self,
        key: &str,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Option<(Duration, Timestamp)> {
        let delay = self.0.get(key).filter(|delay| !delay.expired(failed_at))?;
        let until = failed_at + jiff::SignedDuration::try_from(delay.length).unwrap_or_default();
        (now < until).then_some((delay.length, until))
    }

    /// Counts one more try after a failure at `failed_at`.
    pub(crate) fn count(&mut self, key: &str, failed_at: Timestamp, now: Timestamp) {
        let known = self.0.get(key).filter(|delay| !delay.expired(failed_at));
        let length = known.map_or(INITIAL, |delay| (delay.length * 2).min(MAX));
        self.0.insert(key.to_owned(), Delay { length, counted_at: now });
    }

    pub(crate) fn reset(&mut self, key: &str) {
        self.0.remove(key);
    }
}

impl Delay {
    fn expired(&self, failed_at: Timestamp) -> bool {
        let since = failed_at.duration_since(self.counted_at);
        since > jiff::SignedDuration::try_from(MAX * 2).unwrap_or_default()
    }
}

/// A delay as Go prints it: `10s`, `1m20s`, `5m0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 60 => format!("{seconds}s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

/// Everything one worker remembers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) crashes: Delays,
    /// By image; the time of the last failed pull beside it.
    pub(crate) pulls: Delays,
    pub(crate) failed_pulls: HashMap<String, (Timestamp, String)>,
    /// Why each container waits, by name.
    pub(crate) waiting: BTreeMap<String, Waiting>,
    /// What the probes say, by container id.
    pub(crate) probes: crate::probes::Verdicts,
    /// When the last attempt to make a sandbox failed.
    pub(crate) sandbox_failure: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    #[test]
    fn the_first_retry_is_free_and_the_rest_double() {
        let mut delays = Delays::default();
        assert_eq!(delays.holding("c", at(0), at(0)), None);
        let mut now = 0;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            delays.count("c", at(now), at(now));
            let (length, until) = delays.holding("c", at(now + 1), at(now + 1)).expect("it holds");
            assert_eq!(
                (length.as_secs(), until),
                (expected, at(now + 1 + i64::try_from(expected).expect("small")))
            );
            now += 1 + i64::try_from(expected).expect("small");
            assert_eq!(delays.holding("c", at(now - 300), at(now + 301)), None);
        }
    }

    #[test]
    fn ten_good_minutes_are_forgiven() {
        let mut delays = Delays::default();
        delays.count("c", at(0), at(0));
        delays.count("c", at(20), at(20));
        assert_eq!(delays.holding("c", at(700), at(700)), None);
        delays.count("c", at(700), at(700));
        assert_eq!(delays.holding("c", at(701), at(701)).map(|(length, _)| length), Some(INITIAL));
    }

    #[test]
    fn delays_read_as_in_go() {
        for (seconds, text) in [(10, "10s"), (80, "1m20s"), (300, "5m0s")] {
            assert_eq!(go_duration(Duration::from_secs(seconds)), text);
        }
    }
}
