//! One watch: what it wants, its bounded queue, and the events it yields.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Entry, Filter};

/// Events a watcher may lag behind before it is cut off; at this many its client is not reading.
pub(super) const QUEUE: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl ChangeKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object, shared by all who watch it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: ChangeKind,
    /// The state after the change; for a deletion the last state, at the deletion's revision.
    pub(crate) entry: Arc<Entry>,
    pub(super) before: Option<Arc<Entry>>,
    /// The change as a JSON watch event, framed when the first watcher needs it.
    pub(crate) frame: OnceLock<Bytes>,
}

/// Changes that came together: they are queued, and where it can be framed and sent, as one.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) changes: Box<[Arc<Change>]>,
    /// The namespace that all are in.
    namespace: Option<Arc<str>>,
    /// All of them as JSON watch events, made when the first watcher needs them.
    pub(crate) frames: OnceLock<Bytes>,
}

impl Batch {
    /// Of at least one change.
    pub(super) fn new(changes: Vec<Arc<Change>>) -> Self {
        let first = changes.first().map(|change| change.entry.namespace.clone());
        let namespace = first.filter(|first| changes.iter().all(|change| change.entry.namespace == *first));
        Self { changes: changes.into(), namespace, frames: OnceLock::new() }
    }

    fn touches(&self, namespace: &str) -> bool {
        match &self.namespace {
            Some(all) => **all == *namespace,
            None => self.changes.iter().any(|change| *change.entry.namespace == *namespace),
        }
    }
}

impl Change {
    /// The state before the change.
    pub(crate) fn before(&self) -> Option<&Arc<Entry>> {
        self.before.as_ref()
    }
}

/// What goes through a watcher's queue.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Changes(Arc<Batch>),
    /// Nothing at or below this revision is still to come.
    Progress(u64),
}

/// The cache's side of a watch.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) sender: mpsc::Sender<Message>,
    /// Changes in the queue.
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) namespace: String,
    pub(super) bookmarks: bool,
}

impl Watcher {
    /// False when the watcher is gone or has fallen behind: drop it.
    pub(super) fn offer(&self, batch: &Arc<Batch>) -> bool {
        if !self.namespace.is_empty() && !batch.touches(&self.namespace) {
            return !self.sender.is_closed();
        }
        let count = batch.changes.len();
        let before = self.queued.fetch_add(count, Ordering::AcqRel);
        // However large a batch is, who has read everything is not behind.
        (before == 0 || before + count <= QUEUE)
            && self.sender.try_send(Message::Changes(batch.clone())).is_ok()
    }
}

/// What a watch gives its reader.
#[derive(Debug)]
pub(crate) enum WatchEvent {
    Change { kind: ChangeKind, entry: Arc<Entry>, shared: Option<Arc<Change>> },
    Bookmark { revision: u64, initial_events_end: bool },
}

/// What a watch gives to who can send several changes as one.
#[derive(Debug)]
pub(crate) enum Told {
    Event(WatchEvent),
    /// Changes of which this watcher sees every one as it is.
    Whole(Arc<Batch>),
}

/// The reader's side of a watch.
pub(crate) struct WatchReader {
    pub(super) filter: Filter,
    /// The state at the start, or the changes since the revision that was asked for.
    pub(super) initial: VecDeque<WatchEvent>,
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) queued: Arc<AtomicUsize>,
    /// A batch that is read change by change, and how many have been.
    pub(super) part: Option<(Arc<Batch>, usize)>,
    pub(super) bookmarks: bool,
    /// Changes at or below this revision are not told.
    pub(super) after: u64,
    pub(super) seen: u64,
}

impl WatchReader {
    /// The next event; `None` when the cache has cut this watcher off.
    pub(crate) async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.at_hand() {
                return Some(event);
            }
            let message = self.queue.recv().await?;
            if let Some(event) = self.open(message) {
                return Some(event);
            }
        }
    }

    /// The next event, or many at once.
    pub(crate) async fn next_told(&mut self) -> Option<Told> {
        loop {
            if let Some(event) = self.at_hand() {
                return Some(Told::Event(event));
            }
            let message = self.queue.recv().await?;
            if let Some(told) = self.read(message) {
                return Some(told);
            }
        }
    }

    /// What is here already, without waiting: lets a writer send many at once.
    pub(crate) fn ready(&mut self) -> Option<Told> {
        loop {
            if let Some(event) = self.at_hand() {
                return Some(Told::Event(event));
            }
            let message = self.queue.try_recv().ok()?;
            if let Some(told) = self.read(message) {
                return Some(told);
            }
        }
    }

    /// An event that has left the queue.
    fn at_hand(&mut self) -> Option<WatchEvent> {
        if let Some(event) = self.initial.pop_front() {
            return Some(event);
        }
        while let Some((batch, at)) = self.part.take() {
            let change = batch.changes.get(at)?.clone();
            self.part = Some((batch, at + 1));
            self.seen = self.seen.max(change.revision);
            if change.revision > self.after
                && let Some(event) = seen_through(&self.filter, change)
            {
                return Some(event);
            }
        }
        None
    }

    /// Takes a message: what is not an event by itself is at hand afterwards.
    fn open(&mut self, message: Message) -> Option<WatchEvent> {
        match message {
            Message::Changes(batch) => {
                self.queued.fetch_sub(batch.changes.len(), Ordering::AcqRel);
                self.part = Some((batch, 0));
                None
            }
            Message::Progress(revision) => {
                self.seen = self.seen.max(revision);
                self.bookmarks
                    .then_some(WatchEvent::Bookmark { revision: self.seen, initial_events_end: false })
            }
        }
    }

    fn read(&mut self, message: Message) -> Option<Told> {
        let told = self.open(message).map(Told::Event);
        match self.part.take_if(|(batch, _)| sees_all(&self.filter, self.after, batch)) {
            Some((batch, _)) => {
                self.seen = batch.changes.last().map_or(self.seen, |last| self.seen.max(last.revision));
                Some(Told::Whole(batch))
            }
            None => told,
        }
    }

    /// The revision up to which this watcher knows everything.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

/// Whether a watcher with this filter, which knows everything up to `after`, sees each change of a batch as it is.
fn sees_all(filter: &Filter, after: u64, batch: &Batch) -> bool {
    filter.selects_everything()
        && (filter.namespace.is_empty() || batch.namespace.as_deref() == Some(filter.namespace.as_str()))
        && batch.changes.first().is_some_and(|first| first.revision > after)
}

/// A change as a watcher with this filter sees it: what enters the selection is added, what leaves it is deleted.
pub(super) fn seen_through(filter: &Filter, change: Arc<Change>) -> Option<WatchEvent> {
    if change.kind == ChangeKind::Deleted {
        let shown = filter.matches(change.before.as_ref().unwrap_or(&change.entry));
        return shown.then(|| whole(change));
    }
    let now = filter.matches(&change.entry);
    let before = change.before.as_ref().is_some_and(|entry| filter.matches(entry));
    let kind = match (before, now) {
        (false, false) => return None,
        (true, true) => ChangeKind::Modified,
        (false, true) => ChangeKind::Added,
        (true, false) => ChangeKind::Deleted,
    };
    if kind == change.kind {
        return Some(whole(change));
    }
    let entry = match (&change.before, kind) {
        (Some(before), ChangeKind::Deleted) => Arc::new(before.at_revision(change.revision)),
        _ => change.entry.clone(),
    };
    Some(WatchEvent::Change { kind, entry, shared: None })
}

fn whole(change: Arc<Change>) -> WatchEvent {
    WatchEvent::Change { kind: change.kind, entry: change.entry.clone(), shared: Some(change) }
}
