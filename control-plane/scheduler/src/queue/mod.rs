//! Pods that wait to be scheduled: active (ready), backoff (failed a moment ago), unschedulable (until a change of the
//! cluster may help), gated, and in flight (being scheduled or bound).
//!
//! Pure: the time is an argument, and what is due next is [`SchedulingQueue::next_deadline`].

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::framework::{ClusterChange, Hint, PluginSet, SortKey};
use crate::model::{PodInfo, PodUid};
use entry::{Entry, Place};

/// What waits for a change is tried again after so long without one.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(5 * 60);

/// The plugins of each scheduler name.
pub(crate) type Profiles = HashMap<Arc<str>, Arc<PluginSet>>;

/// Hears of an event, and of the queue into which it brought a pod.
type OnIncoming = Box<dyn Fn(&str, &str) + Send + Sync>;

/// A moment, by the clock that cannot go back and by the one on the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: Timestamp,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { instant: Instant::now(), wall: Timestamp::now() }
    }
}

/// A pod taken from the queue.
#[derive(Debug, Clone)]
pub(crate) struct Popped {
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) attempts: u32,
    /// When it was first ready to be scheduled.
    pub(crate) since: Instant,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) active: usize,
    pub(crate) backoff: usize,
    pub(crate) unschedulable: usize,
    pub(crate) gated: usize,
}

pub(crate) struct SchedulingQueue {
    profiles: Arc<Profiles>,
    entries: HashMap<PodUid, Entry>,
    active: BTreeMap<(SortKey, u64), PodUid>,
    /// By when their time is over. Those that met an error are not taken before it.
    backoff: BTreeMap<(Instant, u64), PodUid>,
    errors: BTreeMap<(Instant, u64), PodUid>,
    unschedulable: BTreeMap<(Instant, u64), PodUid>,
    gated: usize,
    /// Gated pods whose condition does not say so yet.
    untold: Vec<Arc<PodInfo>>,
    /// Makes keys unique, and equals first come first served.
    sequence: u64,
    /// The pod that was last popped, while it is being decided on, and what changed meanwhile: the decision may not
    /// have seen it.
    deciding: Option<PodUid>,
    missed: Vec<ClusterChange>,
    pub(crate) on_incoming: OnIncoming,
}

impl SchedulingQueue {
    pub(crate) fn new(profiles: Arc<Profiles>) -> Self {
        Self {
            profiles,
            entries: HashMap::new(),
            active: BTreeMap::new(),
            backoff: BTreeMap::new(),
            errors: BTreeMap::new(),
            unschedulable: BTreeMap::new(),
            gated: 0,
            untold: vec![],
            sequence: 0,
            missed: vec![],
            deciding: None,
            on_incoming: Box::new(|_, _| {}),
        }
    }

    pub(crate) fn contains(&self, uid: &PodUid) -> bool {
        self.entries.contains_key(uid)
    }

    /// A pod that was gated, and whose condition does not say so; each is given once.
    pub(crate) fn next_untold(&mut self) -> Option<Arc<PodInfo>> {
        self.untold.pop()
    }

    /// Whether there is something to do now.
    pub(crate) fn is_ready(&self) -> bool {
        !(self.active.is_empty() && self.backoff.is_empty() && self.untold.is_empty())
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            active: self.active.len(),
            backoff: self.backoff.len() + self.errors.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated,
        }
    }

    /// Takes in a pod, or its new state.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, now: Now) {
        let Some(entry) = self.entries.get_mut(&pod.uid) else { return self.add(pod, now) };
        let old = std::mem::replace(&mut entry.pod, pod.clone());
        if old.spec == pod.spec {
            return;
        }
        let uid = pod.uid.clone();
        match entry.place {
            Place::Active(_) | Place::Gated => {
                self.leave(&uid);
                self.enter(&uid, "UnscheduledPodUpdate", now);
            }
            Place::Unschedulable(_) => {
                self.move_if_it_helps(&uid, &ClusterChange::PodUpdated { old, new: pod }, now);
            }
            Place::InFlight if self.deciding.as_ref() == Some(&uid) => {
                self.missed.push(ClusterChange::PodUpdated { old, new: pod })
            }
            Place::InFlight | Place::Backoff(_) | Place::Error(_) => {}
        }
    }

    fn add(&mut self, pod: Arc<PodInfo>, now: Now) {
        let uid = pod.uid.clone();
        self.entries.insert(uid.clone(), Entry::new(pod));
        self.enter(&uid, "UnscheduledPodAdd", now);
    }

    /// Puts a pod that is nowhere into the active queue, or among the gated.
    fn enter(&mut self, uid: &PodUid, event: &str, now: Now) {
        let sequence = self.next_sequence();
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let Some(plugins) = self.profiles.get(&entry.pod.scheduler) else { return };
        let gate = plugins.gate(&entry.pod);
        if !gate.is_success() {
            entry.place = Place::Gated;
            entry.rejectors = vec![gate.plugin];
            self.gated += 1;
            if entry.pod.condition.is_none() {
                self.untold.push(entry.pod.clone());
            }
            return (self.on_incoming)(event, "gated");
        }
        entry.since.get_or_insert(now.instant);
        let key = (plugins.queue_sort.key(&entry.pod, now.wall), sequence);
        entry.place = Place::Active(key);
        self.active.insert(key, uid.clone());
        (self.on_incoming)(event, "active");
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Takes a pod out of wherever it is, but keeps its entry, as in flight.
    fn leave(&mut self, uid: &PodUid) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match std::mem::replace(&mut entry.place, Place::InFlight) {
            Place::Active(key) => drop(self.active.remove(&key)),
            Place::Backoff(key) => drop(self.backoff.remove(&key)),
            Place::Error(key) => drop(self.errors.remove(&key)),
            Place::Unschedulable(key) => drop(self.unschedulable.remove(&key)),
            Place::Gated => self.gated -= 1,
            Place::InFlight => {}
        }
    }

    /// Forgets a pod: bound, deleted, or no longer ours.
    pub(crate) fn remove(&mut self, uid: &PodUid) {
        self.leave(uid);
        self.entries.remove(uid);
    }

    /// The next pod to schedule, now in flight. When none is ready, one that backs off is taken early, unless it met an
    /// error: the back-off is there to let others go first.
    pub(crate) fn pop(&mut self, now: Now) -> Option<Popped> {
        self.flush(now);
        let uid = match self.active.first_key_value() {
            Some((_, uid)) => uid.clone(),
            None => self.backoff.first_key_value()?.1.clone(),
        };
        self.leave(&uid);
        let entry = self.entries.get_mut(&uid)?;
        entry.attempts += 1;
        entry.rejectors.clear();
        self.missed.clear();
        self.deciding = Some(uid);
        let since = *entry.since.get_or_insert(now.instant);
        Some(Popped { pod: entry.pod.clone(), attempts: entry.attempts, since })
    }

    /// The decision about a pod is made; gives what it missed.
    pub(crate) fn decided(&mut self, uid: &PodUid) -> Vec<ClusterChange> {
        // A binding that fails beside the loop is not about the pod that the loop is deciding on.
        if self.deciding.as_ref() != Some(uid) {
            return vec![];
        }
        self.deciding = None;
        std::mem::take(&mut self.missed)
    }

    /// No node fits, say these plugins; none of them named means that there are no nodes. Says whether the pod is
    /// still wanted.
    pub(crate) fn reject(&mut self, uid: &PodUid, rejectors: &[&'static str], now: Now) -> bool {
        let missed = self.decided(uid);
        let sequence = self.next_sequence();
        let Some(entry) = self.entries.get_mut(uid) else { return false };
        entry.rejectors = rejectors.to_vec();
        entry.failures += 1;
        entry.errors = 0;
        entry.failed_at = Some(now.instant);
        let key = (now.instant + UNSCHEDULABLE_MAX, sequence);
        entry.place = Place::Unschedulable(key);
        self.unschedulable.insert(key, uid.clone());
        (self.on_incoming)("ScheduleAttemptFailure", "unschedulable");
        missed.iter().any(|change| self.move_if_it_helps(uid, change, now));
        true
    }

    /// Something failed that has nothing to do with the pod: it is tried again after its back-off. Says whether the
    /// pod is still wanted.
    pub(crate) fn retry(&mut self, uid: &PodUid, now: Now) -> bool {
        self.decided(uid);
        let sequence = self.next_sequence();
        let Some(entry) = self.entries.get_mut(uid) else { return false };
        entry.errors += 1;
        entry.failed_at = Some(now.instant);
        let key = (now.instant + entry.error_backoff(), sequence);
        entry.place = Place::Error(key);
        self.errors.insert(key, uid.clone());
        (self.on_incoming)("ScheduleAttemptFailure", "backoff");
        true
    }

    /// Something changed in the cluster: moves the pods that it may help.
    pub(crate) fn changed(&mut self, change: &ClusterChange, now: Now) {
        if self.deciding.is_some() {
            self.missed.push(change.clone());
        }
        let waiting: Vec<PodUid> = self.unschedulable.values().cloned().collect();
        for uid in waiting {
            self.move_if_it_helps(&uid, change, now);
        }
    }

    /// Moves one unschedulable pod, to the active queue or to back off first.
    fn move_if_it_helps(&mut self, uid: &PodUid, change: &ClusterChange, now: Now) -> bool {
        let Some(entry) = self.entries.get(uid) else { return false };
        let Some(plugins) = self.profiles.get(&entry.pod.scheduler) else { return false };
        let hint = if entry.rejectors.is_empty() {
            Hint::queue_if(matches!(change, ClusterChange::NodeAdded(_) | ClusterChange::Timeout))
        } else if matches!(change, ClusterChange::Timeout) {
            Hint::Queue
        } else {
            plugins.hint(&entry.rejectors, &entry.pod, change)
        };
        if hint == Hint::Skip || !matches!(entry.place, Place::Unschedulable(_)) {
            return false;
        }
        self.leave(uid);
        self.back_off_or_enter(uid, change.label(), now);
        true
    }

    fn back_off_or_enter(&mut self, uid: &PodUid, event: &str, now: Now) {
        let sequence = self.next_sequence();
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match entry.backs_off_until().filter(|until| *until > now.instant) {
            Some(until) => {
                let key = (until, sequence);
                entry.place = Place::Backoff(key);
                self.backoff.insert(key, uid.clone());
                (self.on_incoming)(event, "backoff");
            }
            None => self.enter(uid, event, now),
        }
    }

    /// Moves what is due.
    fn flush(&mut self, now: Now) {
        while let Some(uid) = due(&self.backoff, now).or_else(|| due(&self.errors, now)) {
            self.leave(&uid);
            self.enter(&uid, "BackoffComplete", now);
        }
        while let Some(uid) = due(&self.unschedulable, now) {
            self.move_if_it_helps(&uid, &ClusterChange::Timeout, now);
        }
    }

    /// When there will be something to pop that is not ready now, if nothing changes.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let first = |map: &BTreeMap<(Instant, u64), PodUid>| map.first_key_value().map(|((at, _), _)| *at);
        [first(&self.backoff), first(&self.errors), first(&self.unschedulable)].into_iter().flatten().min()
    }
}

fn due(map: &BTreeMap<(Instant, u64), PodUid>, now: Now) -> Option<PodUid> {
    let ((at, _), uid) = map.first_key_value()?;
    (*at <= now.instant).then(|| uid.clone())
}
