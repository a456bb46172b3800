//! The writer thread: takes what has gathered in the queue, writes it as one commit, answers, and minds the clock (leases,
//! compaction). It sleeps while there is nothing to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::WRITE_QUEUE;
use super::disk::Disk;
use super::pace::Pace;
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
    let callers = Handle::try_current().ok();
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || {
            let compaction = Compaction { keep: keep_history, mark: None };
            let pace = Pace::new(callers);
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
                    self.gather(&mut requests);
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
    fn gather(&mut self, requests: &mut mpsc::Receiver<Request>) {
        let group = &mut self.group;
        self.pace.gather(group.len(), Instant::now(), |sleep| {
            std::thread::sleep(sleep);
            while group.len() < WRITE_QUEUE
                && let Ok(request) = requests.try_recv()
            {
                group.push(request);
            }
            group.len()
        });
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
