//! What a work queue knows, without waiting: the order of items, who is being worked on, who is delayed until when.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

pub(super) struct State<T> {
    order: VecDeque<T>,
    /// Items that wait (here and in `order`, or only here while the item is being worked on), since when.
    dirty: HashMap<T, Instant>,
    working: HashMap<T, Instant>,
    /// Delayed items by their time; the number keeps equal times apart.
    delayed: BTreeMap<(Instant, u64), T>,
    delay_of: HashMap<T, (Instant, u64)>,
    sequence: u64,
    closed: bool,
}

impl<T: Clone + Eq + Hash> State<T> {
    pub(super) fn new() -> Self {
        Self {
            order: VecDeque::new(),
            dirty: HashMap::new(),
            working: HashMap::new(),
            delayed: BTreeMap::new(),
            delay_of: HashMap::new(),
            sequence: 0,
            closed: false,
        }
    }

    /// Says whether a worker could take the item now.
    pub(super) fn add(&mut self, item: T, now: Instant) -> bool {
        if self.closed || self.dirty.contains_key(&item) {
            return false;
        }
        self.dirty.insert(item.clone(), now);
        if self.working.contains_key(&item) {
            return false;
        }
        self.order.push_back(item);
        true
    }

    /// Says whether this is now the earliest delay.
    pub(super) fn add_at(&mut self, item: T, at: Instant) -> bool {
        if self.closed {
            return false;
        }
        if let Some(key) = self.delay_of.get(&item).copied() {
            if key.0 <= at {
                return false;
            }
            self.delayed.remove(&key);
        }
        self.sequence += 1;
        let key = (at, self.sequence);
        self.delay_of.insert(item.clone(), key);
        self.delayed.insert(key, item);
        self.delayed.first_key_value().is_some_and(|(first, _)| *first == key)
    }

    /// Moves the items whose delay has passed into the queue; gives how many are newly there to take.
    pub(super) fn ripen(&mut self, now: Instant) -> usize {
        let mut ripe = 0;
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let item = entry.remove();
            self.delay_of.remove(&item);
            ripe += usize::from(self.add(item, now));
        }
        ripe
    }

    /// The next item, and how long it waited.
    pub(super) fn take(&mut self, now: Instant) -> Option<(T, Duration)> {
        let item = self.order.pop_front()?;
        let since = self.dirty.remove(&item).unwrap_or(now);
        self.working.insert(item.clone(), now);
        Some((item, now.saturating_duration_since(since)))
    }

    /// How long the item was worked on, and whether it waits again.
    pub(super) fn done(&mut self, item: &T, now: Instant) -> (Option<Duration>, bool) {
        let worked = self.working.remove(item).map(|since| now.saturating_duration_since(since));
        let again = worked.is_some() && self.dirty.contains_key(item);
        if again {
            self.order.push_back(item.clone());
        }
        (worked, again)
    }

    pub(super) fn shut_down(&mut self) {
        self.closed = true;
        self.delayed.clear();
        self.delay_of.clear();
    }

    /// Shut down, and nothing left to give out, now or after the work in progress.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.dirty.is_empty()
    }

    pub(super) fn next_delay(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn waiting(&self) -> usize {
        self.order.len()
    }
}
