//! How long a small group of writes waits for company. A commit costs as much for one as for ten, and so does telling a
//! batch to each watcher; where the disk is so quick that few writes gather during the commit before, waiting keeps the
//! processor's time per write low.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// A group waits no longer.
const LINGER_MAX: Duration = Duration::from_millis(4);
/// The least and the most that is slept at a time.
const SLEEP: std::ops::RangeInclusive<Duration> = Duration::from_micros(200)..=Duration::from_micros(500);
/// After so many sleeps in a row that brought nobody, while nobody was at work who might write, the group goes. One would be
/// taken in by a client that thinks for a moment.
const STILL: u32 = 2;
/// Waiting is worth it for so many more, and for groups smaller than [`COMPANY`].
const WORTH: u32 = 2;
/// So many have come in so short a time that it is worth it: fewer may be the steps of a few who wait for each other.
const CROWD: usize = 4;
const SOON: Duration = Duration::from_millis(1);
const COMPANY: usize = 64;
/// So many groups do not wait after one that waited in vain: everybody who writes is in it.
const CONTENT: u32 = 64;

/// The rate at which writes came in the last round, and who writes.
#[derive(Debug)]
pub(super) struct Pace {
    /// Where those run who write.
    callers: Option<Handle>,
    /// When the last group was taken, and its size.
    last: Option<(Instant, usize)>,
    /// Groups that shall not wait.
    content: u32,
}

impl Pace {
    pub(super) fn new(callers: Option<Handle>) -> Self {
        Self { callers, last: None, content: 0 }
    }

    /// Waits as long as a group of `taken` should. `wait` sleeps so long, lets in who came meanwhile, and says how many there
    /// are then.
    pub(super) fn gather(&mut self, taken: usize, now: Instant, mut wait: impl FnMut(Duration) -> usize) {
        let mut size = taken;
        if let Some(sleep) = self.sleep(taken, now) {
            let (mut waited, mut still) = (Duration::ZERO, 0);
            while size < COMPANY && waited < LINGER_MAX && still < STILL {
                let before = std::mem::replace(&mut size, wait(sleep));
                waited += sleep;
                still = if size == before && !self.callers_work() { still + 1 } else { 0 };
            }
            if size < taken + WORTH as usize {
                self.content = CONTENT;
            }
        }
        self.content = self.content.saturating_sub(1);
        self.last = Some((now, size));
    }

    /// How long a group of this size should sleep at a time, for as much company as is worth it.
    fn sleep(&self, taken: usize, now: Instant) -> Option<Duration> {
        let (at, before) = self.last?;
        if taken >= COMPANY || before < CROWD || self.content > 0 {
            return None;
        }
        let wanted = now.duration_since(at) * WORTH / u32::try_from(before).unwrap_or(u32::MAX);
        (wanted <= SOON).then(|| wanted.clamp(*SLEEP.start(), *SLEEP.end()))
    }

    /// Whether somebody runs who may be about to write. While changes are told to many watchers, writes wait to be read.
    fn callers_work(&self) -> bool {
        let Some(callers) = &self.callers else { return false };
        let metrics = callers.metrics();
        // An odd count is that of a worker that sleeps.
        (0..metrics.num_workers()).any(|worker| metrics.worker_park_unpark_count(worker) % 2 == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_small_group_in_a_stream_of_writes_waits() {
        let now = Instant::now();
        let check = |last: Option<(u64, usize)>, taken, want: Option<u64>| {
            let last = last.map(|(micros, before)| (now - Duration::from_micros(micros), before));
            let sleep = Pace { last, ..Pace::new(None) }.sleep(taken, now);
            assert_eq!(sleep, want.map(Duration::from_micros), "{last:?} {taken}");
        };
        check(None, 1, None);
        check(Some((1_000_000, 1)), 1, None);
        check(Some((60, 1)), 1, None);
        check(Some((60, 3)), 3, None);
        check(Some((150, 4)), 2, Some(200));
        check(Some((400, 8)), 4, Some(200));
        check(Some((1400, 10)), 10, Some(280));
        check(Some((400, 8)), COMPANY, None);
        check(Some((4000, 8)), 8, Some(500));
        check(Some((4200, 8)), 8, None);
        let content = Pace { last: Some((now, 8)), content: 1, callers: None };
        assert_eq!(content.sleep(4, now), None);
    }

    /// The sizes of a group while it waits after one of eight, and whether the next one would.
    fn grow(callers: Option<Handle>, mut sizes: Vec<usize>) -> (Vec<usize>, bool) {
        let now = Instant::now();
        let mut pace = Pace { last: Some((now - Duration::from_millis(1), 8)), ..Pace::new(callers) };
        let mut seen = Vec::new();
        sizes.reverse();
        pace.gather(4, now, |_| {
            let size = sizes.pop().or(seen.last().copied()).unwrap_or(4);
            seen.push(size);
            size
        });
        (seen, pace.sleep(4, now + Duration::from_millis(1)).is_some())
    }

    #[test]
    fn who_comes_is_waited_for_and_who_does_not_is_not() {
        let cases = [
            ("until two sleeps bring nobody", vec![5, 5, 7], vec![5, 5, 7, 7, 7], true),
            ("until there is company", vec![50, COMPANY], vec![50, COMPANY], true),
            ("in vain, and the next ones go at once", vec![], vec![4, 4], false),
            ("hardly worth it", vec![5], vec![5, 5, 5], false),
        ];
        for (what, sizes, seen, next) in cases {
            assert_eq!(grow(None, sizes), (seen, next), "{what}");
        }
        let (seen, _) = grow(None, (5..100).collect());
        assert_eq!(seen.len() as u32, LINGER_MAX.as_micros() as u32 / 250, "not for ever");
    }

    #[test]
    fn as_long_as_the_callers_work_they_are_waited_for() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        runtime.spawn(async move {
            begin.send(()).expect("it is waited for");
            // At work, as far as the runtime can tell.
            let _ = stopped.recv();
        });
        begun.recv().expect("it begins");
        let callers = Some(runtime.handle().clone());
        let (seen, _) = grow(callers.clone(), vec![4, 4, 4, 6]);
        assert_eq!(seen.last(), Some(&6), "somebody was about to write");
        drop(stop);
        while Pace::new(callers.clone()).callers_work() {
            std::thread::yield_now();
        }
        assert_eq!(grow(callers, vec![4, 4, 4, 6]).0, [4, 4], "nobody is");
    }
}
