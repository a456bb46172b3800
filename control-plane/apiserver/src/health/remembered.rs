//! The last answer of somebody outside, good for a while: many who ask are one question.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

type Answer = Result<(), String>;

pub(super) struct Remembered {
    good_for: Duration,
    last: Mutex<Option<(Instant, Answer)>>,
}

impl Remembered {
    pub(super) fn new(good_for: Duration) -> Self {
        Self { good_for, last: Mutex::new(None) }
    }

    /// What was said, or else what is said now.
    pub(super) async fn or_ask(&self, ask: impl Future<Output = Answer>) -> Answer {
        let asked = Instant::now();
        if let Some(said) = self.at(asked) {
            return said;
        }
        let said = ask.await;
        self.keep(asked, &said);
        said
    }

    fn at(&self, now: Instant) -> Option<Answer> {
        let last = self.last.lock();
        let fresh = last.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < self.good_for);
        fresh.map(|(_, said)| said.clone())
    }

    /// Of two questions at once the later one counts.
    fn keep(&self, asked: Instant, said: &Answer) {
        let mut last = self.last.lock();
        if last.as_ref().is_none_or(|(at, _)| *at <= asked) {
            *last = Some((asked, said.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_for_its_time() {
        let (remembered, start) = (Remembered::new(Duration::from_secs(1)), Instant::now());
        let after = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(remembered.at(start), None);
        remembered.keep(after(0), &Ok(()));
        assert_eq!(remembered.at(after(999)), Some(Ok(())));
        assert_eq!(remembered.at(after(1000)), None);
        remembered.keep(after(1200), &Err("down".into()));
        remembered.keep(after(1100), &Ok(()));
        assert_eq!(remembered.at(after(1300)), Some(Err("down".into())));
    }
}
