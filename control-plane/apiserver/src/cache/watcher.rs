//! One watch: what it wants, its bounded queue, and the events it yields.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Entry, Filter};
use crate::registry::Storage;

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

/// What goes through a watcher's queue.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Change(Arc<Change>),
    /// Nothing at or below this revision is still to come.
    Progress(u64),
}

/// The cache's side of a watch.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) namespace: String,
    pub(super) bookmarks: bool,
}

impl Watcher {
    /// False when the watcher is gone or has fallen behind: drop it.
    pub(super) fn offer(&self, change: &Arc<Change>) -> bool {
        if !self.namespace.is_empty() && *self.namespace != *change.entry.namespace {
            return !self.sender.is_closed();
        }
        self.sender.try_send(Message::Change(change.clone())).is_ok()
    }
}

/// What a watch gives its reader.
#[derive(Debug)]
pub(crate) enum WatchEvent {
    Change { kind: ChangeKind, entry: Arc<Entry>, shared: Option<Arc<Change>> },
    Bookmark { revision: u64, initial_events_end: bool },
}

/// The reader's side of a watch.
pub(crate) struct WatchReader {
    pub(super) storage: Arc<Storage>,
    pub(super) filter: Filter,
    /// The state at the start, or the changes since the revision that was asked for.
    pub(super) initial: VecDeque<WatchEvent>,
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) bookmarks: bool,
    /// Changes at or below this revision are not told.
    pub(super) after: u64,
    pub(super) seen: u64,
}

impl WatchReader {
    /// The next event; `None` when the cache has cut this watcher off.
    pub(crate) async fn next(&mut self) -> Option<WatchEvent> {
        if let Some(event) = self.initial.pop_front() {
            return Some(event);
        }
        loop {
            let message = self.queue.recv().await?;
            if let Some(event) = self.read(message) {
                return Some(event);
            }
        }
    }

    /// An event that is here already, without waiting: lets a writer send many at once.
    pub(crate) fn ready(&mut self) -> Option<WatchEvent> {
        if let Some(event) = self.initial.pop_front() {
            return Some(event);
        }
        while let Ok(message) = self.queue.try_recv() {
            if let Some(event) = self.read(message) {
                return Some(event);
            }
        }
        None
    }

    /// What a message means to this watcher.
    fn read(&mut self, message: Message) -> Option<WatchEvent> {
        match message {
            Message::Change(change) => {
                self.seen = self.seen.max(change.revision);
                if change.revision <= self.after {
                    return None;
                }
                seen_through(&self.storage, &self.filter, change)
            }
            Message::Progress(revision) => {
                self.seen = self.seen.max(revision);
                self.bookmarks
                    .then_some(WatchEvent::Bookmark { revision: self.seen, initial_events_end: false })
            }
        }
    }

    /// The revision up to which this watcher knows everything.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

/// A change as a watcher with this filter sees it: what enters the selection is added, what leaves it is deleted.
pub(super) fn seen_through(storage: &Storage, filter: &Filter, change: Arc<Change>) -> Option<WatchEvent> {
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
        (Some(before), ChangeKind::Deleted) => Arc::new(before.at_revision(storage, change.revision)),
        _ => change.entry.clone(),
    };
    Some(WatchEvent::Change { kind, entry, shared: None })
}

fn whole(change: Arc<Change>) -> WatchEvent {
    WatchEvent::Change { kind: change.kind, entry: change.entry.clone(), shared: Some(change) }
}
