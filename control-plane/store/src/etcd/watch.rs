//! All watches over one stream, which is opened again at another member when it breaks: each watch then goes on after the
//! last revision that it was given, so its reader does not notice.
//!
//! The task owns every watcher. A watcher's queue is bounded; one that does not keep up is cut off. When somebody has been
//! told a revision (`wanted`) that a watcher has not reached, the server is asked for progress.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use oarlock_base::{Backoff, Shutdown, TaskSpawner};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::Shared;
use super::connection::{Member, stream_error};
use super::keys::{self, end_of, progress_key};
use super::progress::{Way, way};
use super::split::split;
use super::wire::{self, OneWatchRequest, WatchCancel, WatchCreate, WatchRequest, WatchResponse};
use crate::types::{Result, Revision, StoreError, WatchBatch};

/// Answers of etcd that may wait for one watcher; each holds one revision, or up to a thousand while it catches up.
const WATCH_QUEUE: usize = 8192;
/// Requests that may wait for the stream; more than that, and the stream is broken.
const REQUESTS: usize = 1024;
/// Calls that may wait for the task.
const ASKS: usize = 256;
/// How long a member may take to open the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A watcher that hears nothing for so long although there is something is taken to another member.
const STALLED: Duration = Duration::from_secs(5);
const REOPEN: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_secs(2)).with_jitter(0.5);

const WATCH: &str = "/etcdserverpb.Watch/Watch";

pub(super) enum Ask {
    Watch {
        id: i64,
        prefix: Bytes,
        after: Revision,
        queue: mpsc::Sender<Result<Vec<WatchBatch>>>,
    },
    Cancel(i64),
    /// Through which revision has been compacted? Only a refused watch is told.
    Compacted {
        id: i64,
        reply: oneshot::Sender<Revision>,
    },
}

/// The callers' end.
pub(super) struct Watches {
    pub(super) asks: mpsc::Sender<Ask>,
    next_id: std::sync::atomic::AtomicI64,
}

impl Watches {
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, received) = mpsc::channel(ASKS);
        (Self { asks, next_id: 1.into() }, received)
    }

    fn id(&self) -> i64 {
        self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) async fn start(
        &self,
        prefix: Bytes,
        after: Revision,
    ) -> Result<(i64, mpsc::Receiver<Result<Vec<WatchBatch>>>)> {
        let (queue, received) = mpsc::channel(WATCH_QUEUE);
        let id = self.id();
        self.asks.send(Ask::Watch { id, prefix, after, queue }).await.map_err(|_| super::closed())?;
        Ok((id, received))
    }

    /// The revision of the last compaction; `None` if that could not be learnt.
    pub(super) async fn compacted(&self) -> Option<Revision> {
        let (reply, answer) = oneshot::channel();
        let id = self.id();
        self.asks.send(Ask::Compacted { id, reply }).await.ok()?;
        let learnt = timeout(OPEN_TIMEOUT, answer).await.ok().and_then(Result::ok);
        if learnt.is_none() {
            // A full queue is noticed by the task itself when it next has something for the watcher.
            let _ = self.asks.try_send(Ask::Cancel(id));
        }
        learnt
    }
}

enum Reader {
    Batches(mpsc::Sender<Result<Vec<WatchBatch>>>),
    Compacted(Option<oneshot::Sender<Revision>>),
}

struct Watcher {
    prefix: Bytes,
    /// Everything at or below has been handed over.
    reached: Revision,
    reader: Reader,
    /// A large answer's parts so far.
    parts: Vec<wire::Event>,
}

impl Watcher {
    fn create(&self, id: i64) -> WatchRequest {
        let range_end = match self.reader {
            Reader::Batches(_) => end_of(&self.prefix),
            Reader::Compacted(_) => Bytes::new(),
        };
        let create = WatchCreate {
            key: keys::start_of(self.prefix.clone()),
            range_end,
            start_revision: self.reached.0 as i64 + 1,
            progress_notify: true,
            watch_id: id,
            fragment: true,
        };
        WatchRequest { request: Some(OneWatchRequest::Create(create)) }
    }

    /// Hands over; false when the reader is gone or too slow.
    fn give(&mut self, batches: Vec<WatchBatch>) -> bool {
        let Some(last) = batches.last().map(|b| b.revision) else { return true };
        let Reader::Batches(queue) = &self.reader else { return true };
        self.reached = self.reached.max(last);
        queue.try_send(Ok(batches)).is_ok()
    }

    fn progress(&mut self, revision: Revision) -> bool {
        let Reader::Batches(queue) = &self.reader else { return true };
        if revision <= self.reached || !self.parts.is_empty() {
            return true;
        }
        match queue.try_send(Ok(vec![WatchBatch { revision, events: Vec::new() }])) {
            Ok(()) => self.reached = revision,
            // It has news of its own to read first; it is not cut off for want of progress.
            Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
        }
        true
    }

    /// The server has ended it.
    fn end(self, answer: &WatchResponse) {
        let oldest = Revision(answer.compact_revision.max(0) as u64);
        match self.reader {
            Reader::Compacted(reply) => {
                // Whoever asked may have gone.
                let _ = reply.map(|reply| reply.send(oldest));
            }
            Reader::Batches(queue) => {
                let why = if answer.compact_revision > 0 {
                    StoreError::Compacted { asked: self.reached, oldest }
                } else {
                    StoreError::Unavailable(format!("etcd ended the watch: {}", answer.cancel_reason))
                };
                // With a full queue the reader learns that it lags instead.
                let _ = queue.try_send(Err(why));
            }
        }
    }
}

pub(super) struct Mux {
    shared: Arc<Shared>,
    asks: mpsc::Receiver<Ask>,
    wanted: watch::Receiver<Revision>,
    spawner: TaskSpawner,
    watchers: HashMap<i64, Watcher>,
}

/// One open stream, and what it owes.
struct Open {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    way: Way,
    /// When to ask for progress; `None` while nobody lacks it.
    ask_at: Option<Instant>,
    /// Since when something is lacking and nothing has come.
    silent_since: Instant,
}

impl Mux {
    pub(super) fn new(
        shared: Arc<Shared>,
        asks: mpsc::Receiver<Ask>,
        wanted: watch::Receiver<Revision>,
        spawner: TaskSpawner,
    ) -> Self {
        Self { shared, asks, wanted, spawner, watchers: HashMap::new() }
    }

    pub(super) async fn run(mut self, stop: Shutdown) -> Result<()> {
        stop.or(self.serve()).await;
        Ok(())
    }

    /// Returns when nobody can ask any more.
    async fn serve(&mut self) {
        let mut pause = REOPEN.start();
        loop {
            while self.watchers.is_empty() {
                let Some(ask) = self.asks.recv().await else { return };
                self.take(ask, None);
            }
            let shared = self.shared.clone();
            let member = shared.connection.current();
            let ended = match timeout(OPEN_TIMEOUT, self.open(member)).await {
                Ok(Ok(mut open)) => {
                    pause.reset();
                    match self.follow(&mut open).await {
                        Ok(()) => return,
                        Err(ended) => ended,
                    }
                }
                Ok(Err(status)) => stream_error(&status),
                Err(_) => StoreError::Unavailable("the stream of watches did not open in time".into()),
            };
            info!(endpoint = member.endpoint, watches = self.watchers.len(), error = %ended, "etcd: watches go on elsewhere");
            for watcher in self.watchers.values_mut() {
                watcher.parts.clear();
            }
            shared.connection.leave(member);
            sleep(pause.next_delay()).await;
        }
    }

    async fn open(&mut self, member: &Member) -> Result<Open, Status> {
        let way = way(&self.shared, member).await?;
        let (requests, queue) = mpsc::channel(REQUESTS);
        let first: Vec<WatchRequest> = self.watchers.iter().map(|(&id, w)| w.create(id)).collect();
        let later = stream::unfold(queue, |mut queue| async { queue.recv().await.map(|r| (r, queue)) });
        // etcd sends its first word only after ours, so the first requests must be on their way before it is waited for.
        let answers = member.streaming(WATCH, stream::iter(first).chain(later)).await?;
        debug!(endpoint = member.endpoint, watches = self.watchers.len(), ?way, "etcd: watching");
        let mut open = Open { requests, answers, way, ask_at: None, silent_since: Instant::now() };
        self.look_behind(&mut open);
        Ok(open)
    }

    /// `Ok` when nobody can ask any more; else why the stream is of no more use.
    async fn follow(&mut self, open: &mut Open) -> Result<()> {
        loop {
            let ask_at = open.ask_at;
            tokio::select! {
                answer = open.answers.message() => match answer {
                    Ok(Some(answer)) => {
                        open.silent_since = Instant::now();
                        self.answer(answer, open)?;
                    }
                    Ok(None) => return Err(StoreError::Unavailable("etcd ended the stream of watches".into())),
                    Err(status) => return Err(stream_error(&status)),
                },
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.take(ask, Some(open)),
                    None => return Ok(()),
                },
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.look_behind(open);
                }
                () = sleep_until(ask_at.unwrap_or_else(Instant::now)), if ask_at.is_some() => {
                    self.ask_progress(open)?;
                }
            }
        }
    }

    fn take(&mut self, ask: Ask, open: Option<&mut Open>) {
        let (id, watcher) = match ask {
            Ask::Cancel(id) => return self.cancel(id, open),
            Ask::Watch { id, prefix, after, queue } => {
                (id, Watcher { prefix, reached: after, reader: Reader::Batches(queue), parts: Vec::new() })
            }
            Ask::Compacted { id, reply } => (
                id,
                Watcher {
                    prefix: Bytes::new(),
                    reached: Revision(0),
                    reader: Reader::Compacted(Some(reply)),
                    parts: Vec::new(),
                },
            ),
        };
        if let Some(open) = open {
            open.send(watcher.create(id));
            self.watchers.insert(id, watcher);
            self.look_behind(open);
        } else {
            self.watchers.insert(id, watcher);
        }
    }

    fn cancel(&mut self, id: i64, open: Option<&mut Open>) {
        if self.watchers.remove(&id).is_some()
            && let Some(open) = open
        {
            open.send(WatchRequest { request: Some(OneWatchRequest::Cancel(WatchCancel { watch_id: id })) });
        }
    }

    fn answer(&mut self, mut answer: WatchResponse, open: &mut Open) -> Result<()> {
        let revision = Revision(answer.header.as_ref().map_or(0, |h| h.revision).max(0) as u64);
        let id = answer.watch_id;
        if answer.canceled {
            match self.watchers.remove(&id) {
                Some(watcher) => watcher.end(&answer),
                // Its number is not one of ours: a request was refused, and none says which.
                None if id == -1 => {
                    return Err(StoreError::Unavailable(format!(
                        "etcd refused a watch: {}",
                        answer.cancel_reason
                    )));
                }
                None => {}
            }
        } else if answer.created {
        } else if !answer.events.is_empty() {
            let Some(watcher) = self.watchers.get_mut(&id) else { return Ok(()) };
            watcher.parts.append(&mut answer.events);
            if answer.fragment {
                return Ok(());
            }
            let events = std::mem::take(&mut watcher.parts);
            let batches = split(events, watcher.reached, &self.shared.keys);
            if !watcher.give(batches) {
                self.cancel(id, Some(open));
            }
        } else if id == -1 {
            if open.way == Way::Request {
                let gone: Vec<i64> = self
                    .watchers
                    .iter_mut()
                    .filter_map(|(&id, w)| (!w.progress(revision)).then_some(id))
                    .collect();
                gone.into_iter().for_each(|id| self.cancel(id, Some(open)));
            }
        } else if let Some(watcher) = self.watchers.get_mut(&id)
            && !watcher.progress(revision)
        {
            self.cancel(id, Some(open));
        }
        if open.ask_at.is_some() && self.behind().next().is_none() {
            open.ask_at = None;
        }
        Ok(())
    }

    /// The watchers that have not reached what somebody was told.
    fn behind(&self) -> impl Iterator<Item = &Watcher> {
        let wanted = *self.wanted.borrow();
        self.watchers.values().filter(move |w| w.reached < wanted && matches!(w.reader, Reader::Batches(_)))
    }

    fn look_behind(&mut self, open: &mut Open) {
        self.wanted.mark_unchanged();
        if open.ask_at.is_none() && self.behind().next().is_some() {
            open.ask_at = Some(Instant::now() + open.way.grace());
            open.silent_since = Instant::now();
        }
    }

    fn ask_progress(&mut self, open: &mut Open) -> Result<()> {
        if open.silent_since.elapsed() > STALLED {
            return Err(StoreError::Unavailable("the watches stalled".into()));
        }
        match open.way {
            Way::Request => {
                open.send(WatchRequest { request: Some(OneWatchRequest::Progress(wire::Empty {})) });
            }
            Way::Write => {
                let mut keys: Vec<Bytes> = self.behind().map(|w| progress_key(&w.prefix)).collect();
                keys.sort_unstable();
                keys.dedup();
                let shared = self.shared.clone();
                self.spawner.spawn("progress", async move {
                    for key in keys {
                        if let Err(failure) = shared.write_progress(key).await {
                            warn!(error = %failure.into_error(0), "etcd: progress could not be written");
                        }
                    }
                });
            }
        }
        open.ask_at = Some(Instant::now() + open.way.period());
        Ok(())
    }
}

impl Open {
    fn send(&self, request: WatchRequest) {
        if self.requests.try_send(request).is_err() {
            // The stream takes nothing any more: its end, which is noticed where answers are read, says why; and what was to be
            // created is created on the next stream.
            debug!("etcd: the stream of watches takes no more requests");
        }
    }
}
