//! The cache of one resource: its current objects, the window of recent changes, and who watches.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use oarlock_store::{Event, EventKind};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::watcher::{Batch, Message, QUEUE, Watcher, seen_through};
use super::{Change, ChangeKind, Entry, Filter, Reading, Snapshot, Unreadable, WatchEvent, WatchReader};
use crate::registry::Storage;

/// Changes kept for watches that resume.
const WINDOW: usize = 1000;

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// All that exists as ADDED, then changes; `announce` ends the first part with a marked bookmark.
    State { announce: bool },
    /// The changes after this revision.
    After(u64),
}

/// The revision asked for is no longer in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
}

pub(crate) struct ResourceCache {
    pub(crate) storage: Arc<Storage>,
    state: Mutex<State>,
    /// Grows with every change.
    generation: AtomicU64,
    /// How many changes the store has told of.
    told: AtomicU64,
    /// The generation of the keys of encryption that all values were tried with last.
    opened_with: AtomicU64,
}

#[derive(Default)]
struct State {
    snapshot: Snapshot,
    window: VecDeque<Arc<Change>>,
    /// Changes above this revision are all in the window.
    window_after: u64,
    /// The snapshot began with the store's state at this revision; changes up to it are in it.
    loaded_at: u64,
    /// Changes that arrived while the store's state was being read.
    waiting: Option<Vec<Event>>,
    last_change: u64,
    /// Stored values that are no objects, by key.
    unreadable: BTreeMap<String, Unreadable>,
    /// Keys of values that were read, and whose key of encryption has gone since.
    closed: HashSet<Bytes>,
    watchers: Vec<Watcher>,
}

impl ResourceCache {
    pub(crate) fn new(storage: Arc<Storage>) -> Self {
        Self {
            storage,
            state: Mutex::default(),
            generation: AtomicU64::new(0),
            told: AtomicU64::new(0),
            opened_with: AtomicU64::new(0),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state.lock().snapshot.clone()
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.state.lock().snapshot.get(namespace, name).cloned()
    }

    /// A stored value below this prefix that is no object.
    pub(crate) fn unreadable(&self, prefix: &str) -> Option<Unreadable> {
        let state = self.state.lock();
        let first = state.unreadable.range(prefix.to_string()..).next();
        first.filter(|(key, _)| key.starts_with(prefix)).map(|(_, fault)| fault.clone())
    }

    /// The generation of the keys of encryption that all values were tried with last.
    pub(crate) fn opened_with(&self) -> u64 {
        self.opened_with.load(Ordering::Acquire)
    }

    /// Takes over which values the keys of a generation do not open.
    pub(crate) fn tried_with(&self, generation: u64, closed: HashSet<Bytes>) {
        self.state.lock().closed = closed;
        self.opened_with.store(generation, Ordering::Release);
    }

    /// Whether this value was read once, and cannot be any more.
    pub(crate) fn is_closed(&self, key: &[u8]) -> bool {
        self.state.lock().closed.contains(key)
    }

    /// For metrics.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Starts from nothing: whoever watched must begin again.
    pub(super) fn reset(&self, entries: Vec<Reading>, revision: u64) {
        let mut snapshot = Snapshot::default();
        let mut unreadable = BTreeMap::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    snapshot.insert(entry);
                }
                Err(fault) => {
                    unreadable.insert(fault.key.clone(), fault);
                }
            }
        }
        self.storage.drafts.clear();
        *self.state.lock() = State {
            snapshot,
            unreadable,
            window_after: revision,
            loaded_at: revision,
            last_change: revision,
            ..State::default()
        };
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on changes are kept aside until [`loaded`](Self::loaded) brings what they change.
    pub(super) fn begin_loading(&self) {
        self.state.lock().waiting = Some(Vec::new());
    }

    /// The store's state at `revision`, then what has changed since. A newer reading is not undone.
    pub(super) fn loaded(&self, entries: Vec<Reading>, revision: u64) {
        let waiting = {
            let mut state = self.state.lock();
            if state.loaded_at >= revision && state.waiting.is_none() {
                return;
            }
            state.waiting.take().unwrap_or_default()
        };
        self.reset(entries, revision);
        self.apply(&waiting.iter().collect::<Vec<_>>());
    }

    /// The resource is no longer served from here: who watches is told by the end of the stream. What was seen stays, for
    /// whoever still looks.
    pub(super) fn close(&self) {
        self.state.lock().watchers.clear();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes changes of the store over, in order. Who watches is told of them together.
    pub(super) fn apply(&self, events: &[&Event]) {
        self.told.fetch_add(events.len() as u64, Ordering::Relaxed);
        let loaded_at = {
            let mut state = self.state.lock();
            if let Some(waiting) = &mut state.waiting {
                waiting.extend(events.iter().map(|event| (*event).clone()));
                return;
            }
            state.loaded_at
        };
        let new = events.iter().filter(|event| event.now.mod_revision.0 > loaded_at);
        // Read before anything is locked.
        let read: Vec<(&Event, Option<Reading>)> = new.map(|event| (*event, self.read(event))).collect();
        let faults = read.iter().filter(|(_, reading)| matches!(reading, Some(Err(_)))).count();
        let mut state = self.state.lock();
        let changes: Vec<Arc<Change>> = read
            .into_iter()
            .filter_map(|(event, reading)| match reading {
                Some(reading) => state.put(&self.storage, event, reading),
                None => state.remove(&self.storage, event),
            })
            .collect();
        let grown = (changes.len() + faults) as u64;
        if grown == 0 {
            return;
        }
        if !changes.is_empty() {
            state.tell(changes);
        }
        self.generation.fetch_add(grown, Ordering::AcqRel);
    }

    /// The object as it is now; none after a deletion.
    fn read(&self, event: &Event) -> Option<Reading> {
        if event.kind == EventKind::Delete {
            return None;
        }
        let read = || Entry::read(&self.storage, &event.now, event.now.mod_revision.0);
        let Some(entry) = self.storage.drafts.take(&event.now) else { return Some(read().map(Arc::new)) };
        debug_assert_eq!(
            read().map(|read| read.json),
            Ok(entry.json.clone()),
            "a draft is what the store holds"
        );
        Some(Ok(Arc::new(entry)))
    }

    /// Registers a watch, in one step with the state it starts from. `revision` is what the whole cache has seen.
    pub(crate) fn watch(
        &self,
        filter: Filter,
        start: WatchStart,
        bookmarks: bool,
        revision: u64,
    ) -> Result<WatchReader, TooOld> {
        let mut state = self.state.lock();
        let initial = match start {
            WatchStart::State { announce } => state.initial(&filter, announce, revision),
            WatchStart::After(after) if after < state.window_after => {
                return Err(TooOld { oldest: state.window_after });
            }
            WatchStart::After(after) => {
                let from = state.window.partition_point(|change| change.revision <= after);
                let changes = state.window.range(from..).cloned();
                changes.filter_map(|change| seen_through(&filter, change)).collect()
            }
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let queued = Arc::new(AtomicUsize::new(0));
        state.watchers.retain(|watcher| !watcher.sender.is_closed());
        let namespace = filter.namespace.clone();
        state.watchers.push(Watcher { sender, queued: queued.clone(), namespace, bookmarks });
        let reached = state.last_change.max(revision);
        // Somebody may watch from a revision that has not come yet.
        let (seen, after) = match start {
            WatchStart::After(after) => (reached.max(after), after),
            WatchStart::State { .. } => (reached, 0),
        };
        Ok(WatchReader { filter, initial, queue, queued, part: None, bookmarks, after, seen })
    }

    /// Tells those who asked for bookmarks how far the cache is; true when anybody did.
    pub(super) fn bookmark(&self, revision: u64) -> bool {
        let mut state = self.state.lock();
        state.watchers.retain(|watcher| !watcher.sender.is_closed());
        let asked = state.watchers.iter().filter(|watcher| watcher.bookmarks);
        let mut any = false;
        for watcher in asked {
            any = true;
            // A full queue needs no bookmark: its watcher is about to see newer events or to be cut off.
            let _ = watcher.sender.try_send(Message::Progress(revision));
        }
        any
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().snapshot.len()
    }

    /// How many objects there are, and their size as JSON on average.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.snapshot.len(), state.snapshot.average_bytes())
    }

    /// How many watch, those who are just gone included.
    pub(crate) fn watchers(&self) -> usize {
        self.state.lock().watchers.len()
    }

    /// Objects and watchers, for metrics.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.snapshot.len(), state.watchers.iter().filter(|w| !w.sender.is_closed()).count())
    }
}

impl State {
    /// Changes the snapshot; the change, if it was one.
    fn put(&mut self, storage: &Storage, event: &Event, reading: Reading) -> Option<Arc<Change>> {
        self.forget_fault(event);
        let entry = match reading {
            Ok(entry) => entry,
            Err(fault) => {
                self.lose(storage, event, fault);
                return None;
            }
        };
        let before = self.snapshot.insert(entry.clone());
        let kind = if before.is_none() { ChangeKind::Added } else { ChangeKind::Modified };
        let revision = event.now.mod_revision.0;
        Some(Arc::new(Change { revision, kind, entry, before, frame: OnceLock::new() }))
    }

    /// A value that cannot be read takes an object's place. Nobody is shown the old one; who watches is cut off, and cannot
    /// go on after it.
    fn lose(&mut self, storage: &Storage, event: &Event, fault: Unreadable) {
        if let Some((namespace, name)) = storage.place_of(&event.now.key) {
            self.snapshot.remove(namespace, name);
        }
        self.unreadable.insert(fault.key.clone(), fault);
        self.watchers.clear();
        self.window.clear();
        self.window_after = event.now.mod_revision.0;
    }

    /// Takes an object away; the change, if it could be read before.
    fn remove(&mut self, storage: &Storage, event: &Event) -> Option<Arc<Change>> {
        self.forget_fault(event);
        let revision = event.now.mod_revision.0;
        let (namespace, name) = storage.place_of(&event.now.key)?;
        let before = self.snapshot.remove(namespace, name)?;
        let (kind, entry) = (ChangeKind::Deleted, Arc::new(before.at_revision(revision)));
        Some(Arc::new(Change { revision, kind, entry, before: Some(before), frame: OnceLock::new() }))
    }

    fn forget_fault(&mut self, event: &Event) {
        self.closed.remove(&event.now.key);
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&*String::from_utf8_lossy(&event.now.key));
        }
    }

    fn tell(&mut self, changes: Vec<Arc<Change>>) {
        for change in &changes {
            self.last_change = change.revision;
            if self.window.len() == WINDOW
                && let Some(oldest) = self.window.pop_front()
            {
                self.window_after = oldest.revision;
            }
            self.window.push_back(change.clone());
        }
        if !self.watchers.is_empty() {
            let batch = Arc::new(Batch::new(changes));
            self.watchers.retain(|watcher| watcher.offer(&batch));
        }
    }

    fn initial(&self, filter: &Filter, announce: bool, revision: u64) -> VecDeque<WatchEvent> {
        let mut events: VecDeque<WatchEvent> = self
            .snapshot
            .iter(&filter.namespace, None)
            .filter(|entry| filter.selects(entry))
            .map(|entry| WatchEvent::Change { kind: ChangeKind::Added, entry: entry.clone(), shared: None })
            .collect();
        if announce {
            let revision = self.last_change.max(revision);
            events.push_back(WatchEvent::Bookmark { revision, initial_events_end: true });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use oarlock_api::selector::FieldSelector;
    use oarlock_store::{KeyValue, Revision};

    use super::super::Told;
    use super::*;
    use crate::registry::Resources;

    fn config_maps() -> ResourceCache {
        let resources = Resources::builtin();
        let cached = resources.cached(&oarlock_api::GroupResource::new("", "configmaps"));
        ResourceCache::new(cached.expect("they are stored").storage.clone())
    }

    fn written(name: &str, revision: u64) -> Event {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"n"}}}}"#
        );
        let now = KeyValue {
            key: Bytes::from(format!("/registry/configmaps/n/{name}")),
            value: object.into(),
            create_revision: Revision(revision),
            mod_revision: Revision(revision),
            lease: None,
        };
        Event { kind: EventKind::Create, now }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_after_what_was_queued() {
        let cache = config_maps();
        let start = WatchStart::After(0);
        let mut slow = cache.watch(Filter::default(), start, false, 0).expect("nothing is too old");
        let none =
            Filter { fields: Arc::new(FieldSelector::equals("metadata.name", "x")), ..Filter::default() };
        let mut deaf = cache.watch(none, start, false, 0).expect("nothing is too old");
        for revision in 1..=super::super::watcher::QUEUE as u64 {
            cache.apply(&[&written(&format!("m{revision}"), revision)]);
            assert!(deaf.ready().is_none(), "what is not selected is read and dropped");
        }
        assert_eq!(cache.counts().1, 2, "a full queue is not yet too much");
        cache.apply(&[&written("last", 5000)]);
        assert_eq!(cache.counts().1, 1, "one more is");
        let mut told = 0;
        while slow.next().await.is_some() {
            told += 1;
        }
        assert_eq!(told, super::super::watcher::QUEUE, "then its stream ends, and its client resumes");
    }

    #[tokio::test]
    async fn changes_that_come_together_are_told_together_to_who_sees_them_all() {
        let cache = config_maps();
        let start = WatchStart::After(0);
        let watch = |filter, start| cache.watch(filter, start, false, 0).expect("nothing is too old");
        let mut all = watch(Filter::default(), start);
        let mut late = watch(Filter::default(), WatchStart::After(1));
        let fields = Arc::new(FieldSelector::equals("metadata.name", "b"));
        let mut one = watch(Filter { fields, ..Filter::default() }, start);
        let mut other = watch(Filter { namespace: "other".into(), ..Filter::default() }, start);
        let (a, b) = (written("a", 1), written("b", 2));
        cache.apply(&[&a, &b]);
        assert!(matches!(all.ready(), Some(Told::Whole(batch)) if batch.changes.len() == 2));
        assert_eq!((all.seen(), all.ready().is_none()), (2, true));
        let is_b = |told: Option<Told>| matches!(told, Some(Told::Event(WatchEvent::Change { entry, .. })) if &*entry.name == "b");
        assert!(is_b(late.ready()) && late.ready().is_none(), "what it knows is not told again");
        assert!(is_b(one.ready()) && one.ready().is_none());
        assert!(other.ready().is_none());
    }

    #[tokio::test]
    async fn a_watch_resumes_within_the_window_only() {
        let cache = config_maps();
        for revision in 1..=WINDOW as u64 + 2 {
            cache.apply(&[&written("m", revision)]);
        }
        let after = |revision| cache.watch(Filter::default(), WatchStart::After(revision), false, 0);
        assert_eq!(after(1).err(), Some(TooOld { oldest: 2 }));
        let mut reader = after(2).expect("it is in the window");
        assert!(
            matches!(reader.ready(), Some(Told::Event(WatchEvent::Change { entry, .. })) if entry.revision == 3)
        );
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_read_hides_the_old_one_and_ends_watches() {
        let cache = config_maps();
        cache.apply(&[&written("a", 1), &written("b", 2)]);
        let after = |revision| cache.watch(Filter::default(), WatchStart::After(revision), false, 0);
        let mut reader = after(2).expect("it is in the window");
        let mut sealed = written("a", 3);
        sealed.now.value = Bytes::from_static(b"k8s:enc:aesgcm:v1:key:x");
        let generation = cache.generation();
        cache.apply(&[&sealed]);
        assert!(cache.get("n", "a").is_none() && cache.get("n", "b").is_some());
        assert!(cache.generation() > generation, "what was compiled of it is not so any more");
        let told = cache.unreadable("/registry/configmaps/").map(|fault| fault.to_string());
        let want = r#"unable to transform key "/registry/configmaps/n/a": no matching prefix found"#;
        assert_eq!(told.as_deref(), Some(want));
        assert!(cache.unreadable("/registry/configmaps/other/").is_none());
        assert!(reader.next().await.is_none(), "who watched must begin again");
        assert_eq!(after(2).err(), Some(TooOld { oldest: 3 }));
        cache.apply(&[&written("a", 4)]);
        assert!(cache.get("n", "a").is_some() && cache.unreadable("/registry/").is_none());
    }

    #[tokio::test]
    async fn bookmarks_reach_those_who_asked() {
        let cache = config_maps();
        let start = WatchStart::State { announce: false };
        let mut asked = cache.watch(Filter::default(), start, true, 7).expect("nothing is too old");
        let mut silent = cache.watch(Filter::default(), start, false, 7).expect("nothing is too old");
        assert!(cache.bookmark(9));
        assert!(matches!(
            asked.next().await,
            Some(WatchEvent::Bookmark { revision: 9, initial_events_end: false })
        ));
        assert!(silent.ready().is_none());
        drop(asked);
        assert!(!cache.bookmark(10), "nobody is left who wants any");
    }
}
