//! The writer thread: takes what has gathered in the queue, writes it as one commit, answers, and minds the clock (leases,
//! compaction). It sleeps while there is nothing to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::WRITE_QUEUE;
use super::disk::Disk;
use crate::engine::{Answer, Engine, Writer};
use crate::mvcc::Command;
use crate::types::{Result, Revision, StoreError};

pub(super) struct Request {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Answer>>,
}

pub(super) fn start(
    engine: Arc<Engine<Disk>>,
    writer: Writer,
    requests: mpsc::Receiver<Request>,
    keep_history: Option<Duration>,
) -> Result<std::thread::JoinHandle<()>> {
    let failed = |tried| move |source: std::io::Error| StoreError::Backend { tried, source: source.into() };
    // The thread has a timer of its own, so that it can wait for a request and a time at once.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(failed("start the store's timer"))?;
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || {
            let compaction = Compaction { keep: keep_history, mark: None };
            let pace = Pace::default();
            runtime.block_on(Loop { engine, writer, compaction, pace, group: Vec::new() }.run(requests));
        })
        .map_err(failed("start the store's writer thread"))
}

struct Loop {
    engine: Arc<Engine<Disk>>,
    writer: Writer,
    compaction: Compaction,
    pace: Pace,
    group: Vec<Request>,
}

/// How long a small group waits for company while writes come fast, at most. A commit costs as much for one as for ten; where
/// the disk is so quick that few gather during the commit before, this keeps the processor's time per write low.
const LINGER_MAX: Duration = Duration::from_millis(1);
/// The least and the most that is slept at a time. After each sleep that brought nothing the group goes.
const SLEEP: std::ops::RangeInclusive<Duration> = Duration::from_micros(200)..=LINGER_MAX;
/// Waiting is worth it for so many more, and for groups smaller than [`COMPANY`].
const WORTH: u32 = 2;
const COMPANY: usize = 32;
/// So many groups do not wait after one that waited in vain: everybody who writes is in it.
const CONTENT: u32 = 64;

/// The rate at which writes came in the last round.
#[derive(Debug, Default)]
struct Pace {
    /// When the last group was taken, and its size.
    last: Option<(Instant, usize)>,
    /// Groups that shall not wait.
    content: u32,
}

impl Pace {
    /// How long a group of this size should sleep at a time, for as much company as is worth it.
    fn sleep(&self, taken: usize, now: Instant) -> Option<Duration> {
        let (at, before) = self.last?;
        if taken >= COMPANY || before < 2 || self.content > 0 {
            return None;
        }
        let wanted = now.duration_since(at) * WORTH / u32::try_from(before).unwrap_or(u32::MAX);
        (wanted <= LINGER_MAX).then(|| wanted.clamp(*SLEEP.start(), *SLEEP.end()))
    }
}

/// Compacts to where the store was one period ago, as long as something changes.
struct Compaction {
    keep: Option<Duration>,
    /// At this time, compact to this revision.
    mark: Option<(Instant, Revision)>,
}

impl Compaction {
    fn observe(&mut self, revision: Revision, compacted: Revision) {
        if let Some(keep) = self.keep
            && self.mark.is_none()
            && revision > compacted
        {
            self.mark = Some((Instant::now() + keep, revision));
        }
    }

    fn due(&mut self, now: Instant) -> Option<Command> {
        let (at, revision) = self.mark?;
        (at <= now).then(|| {
            self.mark = None;
            Command::Compact(revision)
        })
    }
}

impl Loop {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let (newest, compacted) = self.engine.span();
            self.compaction.observe(newest, compacted);
            let wake =
                [self.writer.next_end(), self.compaction.mark.map(|(at, _)| at)].into_iter().flatten().min();
            tokio::select! {
                biased;
                taken = requests.recv_many(&mut self.group, WRITE_QUEUE) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(taken, &mut requests);
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = std::future::ready(()), if self.writer.has_garbage() => {}
            }
            self.step();
        }
    }

    /// Lets a group grow while writes come fast.
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread is the writer's own, and a timer of tokio's is too coarse"
    )]
    fn gather(&mut self, taken: usize, requests: &mut mpsc::Receiver<Request>) {
        let now = Instant::now();
        if let Some(sleep) = self.pace.sleep(taken, now) {
            let mut before = 0;
            while before < self.group.len() && self.group.len() < COMPANY && now.elapsed() < LINGER_MAX {
                before = self.group.len();
                std::thread::sleep(sleep);
                while self.group.len() < WRITE_QUEUE
                    && let Ok(request) = requests.try_recv()
                {
                    self.group.push(request);
                }
            }
            if self.group.len() < taken + WORTH as usize {
                self.pace.content = CONTENT;
            }
        }
        self.pace.content = self.pace.content.saturating_sub(1);
        self.pace.last = Some((now, self.group.len()));
    }

    fn step(&mut self) {
        let (mut commands, replies): (Vec<_>, Vec<_>) =
            self.group.drain(..).map(|r| (r.command, r.reply)).unzip();
        let now = Instant::now();
        commands.extend(self.writer.expired(now));
        commands.extend(self.compaction.due(now));
        let mut answers = self.engine.write(&mut self.writer, commands).into_iter();
        for (reply, answer) in replies.into_iter().zip(answers.by_ref()) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
        for own in answers {
            match own {
                Err(failure @ (StoreError::NoLease | StoreError::Compacted { .. })) => {
                    debug!(%failure, "somebody else did it before");
                }
                Err(failure) => warn!(error = %failure, "ending leases or compacting failed"),
                Ok(_) => {}
            }
        }
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
            let sleep = Pace { last, content: 0 }.sleep(taken, now);
            assert_eq!(sleep, want.map(Duration::from_micros), "{last:?} {taken}");
        };
        check(None, 1, None);
        check(Some((1_000_000, 1)), 1, None);
        check(Some((60, 1)), 1, None);
        check(Some((150, 2)), 2, Some(200));
        check(Some((400, 8)), 4, Some(200));
        check(Some((2800, 10)), 10, Some(560));
        check(Some((400, 8)), COMPANY, None);
        check(Some((4000, 8)), 8, Some(1000));
        check(Some((8000, 8)), 8, None);
        assert_eq!(Pace { last: Some((now, 8)), content: 1 }.sleep(4, now), None);
    }
}
