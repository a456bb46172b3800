//! When a refused client is asked to come back: later, the more are refused. Doubled like a TCP window, taken back by one.

use std::collections::VecDeque;

/// Nobody is sent away for longer, in seconds; and so long it is remembered who was.
const MOST: u64 = 32;

/// Refusals of one level, by second.
#[derive(Debug)]
pub(crate) struct RetryAfter {
    seconds: u64,
    /// When it was last doubled.
    doubled: u64,
    /// Seconds that have passed, and how many were refused in each.
    history: VecDeque<(u64, u64)>,
    now: u64,
    count: u64,
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self { seconds: 1, doubled: 0, history: VecDeque::new(), now: 0, count: 0 }
    }
}

impl RetryAfter {
    /// One more is refused, `now` in seconds of a steady clock that begins above zero; what it is told.
    pub(crate) fn refused(&mut self, now: u64) -> u32 {
        if now == self.now {
            self.count += 1;
        } else {
            self.history.push_back((self.now, self.count));
            (self.now, self.count) = (now, 1);
            while self.history.front().is_some_and(|(second, _)| now.saturating_sub(*second) > MOST) {
                self.history.pop_front();
            }
            self.adjust();
        }
        u32::try_from(self.seconds).expect("at most a few")
    }

    fn adjust(&mut self) {
        let recent =
            self.history.iter().filter(|(second, _)| self.now.saturating_sub(*second) <= self.seconds);
        let refused: u64 = recent.map(|(_, count)| count).sum();
        if self.now.saturating_sub(self.doubled) >= self.seconds && refused >= 3 * self.seconds {
            self.seconds = (self.seconds * 2).min(MOST);
            self.doubled = self.now;
        } else if refused < self.seconds && self.seconds > 1 {
            self.seconds -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_under_load_and_shrinks_after() {
        let mut retry = RetryAfter::default();
        let mut burst = |now: u64, refusals: u32| (0..refusals).map(|_| retry.refused(now)).last();
        assert_eq!(burst(100, 2), Some(1), "a few are nothing");
        assert_eq!(burst(101, 5), Some(1));
        assert_eq!(burst(102, 10), Some(2), "five in the second before");
        assert_eq!(burst(103, 10), Some(2), "not again so soon");
        assert_eq!(burst(104, 200), Some(4));
        assert_eq!(burst(108, 200), Some(8));
        assert_eq!(burst(116, 200), Some(16));
        assert_eq!(burst(132, 200), Some(32));
        assert_eq!(burst(164, 200), Some(32), "no longer than that");
        assert_eq!(burst(300, 1), Some(31), "nobody was refused for long");
        assert_eq!(burst(301, 1), Some(30));
    }
}
