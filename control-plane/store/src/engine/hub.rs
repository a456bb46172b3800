//! Fan-out: hands each durable revision to the watchers of its keys.
//!
//! A watcher has a bounded queue. Nobody waits for one that does not keep up: it loses its place here, and finds its own way back
//! through the log.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::types::{Revision, WatchBatch};

/// Revisions that may wait for one watcher. Values are shared with the other watchers, so it is revisions and not
/// bytes that are counted; at a thousand writes a second it stands for four seconds of stall.
const WATCH_QUEUE: usize = 4096;

/// Why all watches ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    /// What the watchers were told may not be all: they must list again.
    Broken,
}

#[derive(Debug)]
struct Watcher {
    prefix: Bytes,
    queue: mpsc::Sender<WatchBatch>,
    /// The last revision put into the queue.
    sent: Revision,
}

#[derive(Debug, Default)]
struct Inner {
    published: Revision,
    watchers: HashMap<u64, Watcher>,
    last_id: u64,
    /// Every watcher has been told of the progress up to here.
    nudged: Revision,
    /// Somebody waits for the watchers to be told of the progress up to here.
    wanted: Revision,
    closed: bool,
    /// How often what watchers were told was not all.
    breaks: u64,
}

/// Why a queue has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed,
    Broken,
    /// It was full once. Everything up to there is in it.
    Full,
}

#[derive(Debug)]
pub(crate) struct Hub(Mutex<Inner>);

/// A watcher's end of its queue; leaves the hub when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Arc<Hub>,
    id: u64,
    /// The hub's breaks when it registered.
    breaks: u64,
    pub(crate) prefix: Bytes,
    pub(crate) queue: mpsc::Receiver<WatchBatch>,
}

impl Registration {
    /// Why the queue has ended, which it has.
    pub(crate) fn why(&self) -> Ended {
        let inner = self.hub.0.lock();
        if inner.closed {
            Ended::Closed
        } else if inner.breaks == self.breaks {
            Ended::Full
        } else {
            Ended::Broken
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.0.lock().watchers.remove(&self.id);
    }
}

impl Hub {
    pub(crate) fn new(published: Revision) -> Self {
        Self(Mutex::new(Inner { published, nudged: published, ..Inner::default() }))
    }

    /// A new watcher gets what is published from now on; older changes are its own business, up to the revision given.
    pub(crate) fn register(self: &Arc<Self>, prefix: Bytes) -> (Registration, Revision) {
        let (sender, queue) = mpsc::channel(WATCH_QUEUE);
        let mut inner = self.0.lock();
        inner.last_id += 1;
        let (id, published, breaks) = (inner.last_id, inner.published, inner.breaks);
        if !inner.closed {
            inner.watchers.insert(id, Watcher { prefix: prefix.clone(), queue: sender, sent: published });
        }
        (Registration { hub: self.clone(), id, breaks, prefix, queue }, published)
    }

    pub(crate) fn has_watchers(&self) -> bool {
        !self.0.lock().watchers.is_empty()
    }

    /// Hands out durable revisions, in order. `revision` is the newest, of which there may be no batch.
    pub(crate) fn publish(&self, revision: Revision, batches: &[WatchBatch]) {
        let mut inner = self.0.lock();
        inner.published = revision;
        inner.watchers.retain(|_, watcher| batches.iter().all(|batch| watcher.send(batch)));
        inner.nudge();
    }

    /// Tells every watcher when it has seen all there is up to `wanted`: now, or as soon as that is published.
    pub(crate) fn nudge(&self, wanted: Revision) {
        let mut inner = self.0.lock();
        inner.wanted = inner.wanted.max(wanted);
        inner.nudge();
    }

    pub(crate) fn end(&self, end: End) {
        let mut inner = self.0.lock();
        inner.closed |= end == End::Closed;
        inner.breaks += u64::from(end == End::Broken);
        inner.watchers.clear();
    }
}

impl Inner {
    fn nudge(&mut self) {
        let published = self.published;
        if self.nudged >= self.wanted.min(published) {
            return;
        }
        let mut all = true;
        for watcher in self.watchers.values_mut().filter(|w| w.sent < published) {
            // A full queue has news of its own; its watcher is not cut off for want of progress.
            match watcher.queue.try_send(WatchBatch { revision: published, events: Vec::new() }) {
                Ok(()) => watcher.sent = published,
                Err(_) => all = false,
            }
        }
        if all {
            self.nudged = published;
        }
    }
}

impl Watcher {
    /// False when the watcher is gone or too slow.
    fn send(&mut self, batch: &WatchBatch) -> bool {
        let mine = |event: &&crate::types::Event| event.now.key.starts_with(&self.prefix);
        let count = batch.events.iter().filter(mine).count();
        if count == 0 {
            return true;
        }
        let mut events = Vec::with_capacity(count);
        events.extend(batch.events.iter().filter(mine).cloned());
        self.sent = batch.revision;
        self.queue.try_send(WatchBatch { revision: batch.revision, events }).is_ok()
    }
}
