//! Which of the events that components report are written, and how: upstream's aggregation, deduplication and spam
//! filter. Pure: the time comes in, a [`Write`] goes out.
//!
//! - Repeats of one event become one object whose count grows.
//! - More than ten different messages of one kind about one object within ten minutes become one "combined" object.
//! - One object's events from one source pass a token bucket: 25 at once, then one in five minutes.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;

/// An event as its reporter gave it.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) about: ObjectReference,
    pub(super) kind: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) at: Timestamp,
}

/// What is to be written for a report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    pub(super) count: i32,
    pub(super) first: Timestamp,
    pub(super) message: String,
    /// The event object that counts up; `None` makes a new one.
    pub(super) name: Option<String>,
    /// Under this key the name of a new object is to be told with [`Correlator::written`].
    pub(super) key: String,
}

const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
const SPAM_BURST: f64 = 25.0;
const SPAM_PER_SECOND: f64 = 1.0 / 300.0;
/// Entries kept of each kind, upstream's LRU size; memory stays bounded whatever is reported.
const KEPT_MAX: usize = 4096;

struct Similar {
    messages: HashSet<String>,
    at: Timestamp,
}

struct Seen {
    count: i32,
    first: Timestamp,
    name: Option<String>,
    at: Timestamp,
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

#[derive(Default)]
pub(super) struct Correlator {
    similar: HashMap<String, Similar>,
    seen: HashMap<String, Seen>,
    spam: HashMap<String, Bucket>,
}

impl Correlator {
    /// `None`: the spam filter drops it.
    pub(super) fn correlate(&mut self, report: &Report) -> Option<Write> {
        let about = about_key(&report.about);
        let kind = format!("{about}\0{}\0{}", report.kind, report.reason);
        let combined = self.combine(&kind, &report.message, report.at);
        let (key, message) = if combined {
            (kind, format!("(combined from similar events): {}", report.message))
        } else {
            (format!("{kind}\0{}", report.message), report.message.clone())
        };
        let write = self.count(key, message, report.at);
        self.may_pass(&about, report.at).then_some(write)
    }

    /// The object of that key was written under this name.
    pub(super) fn written(&mut self, key: &str, name: &str) {
        if let Some(seen) = self.seen.get_mut(key) {
            seen.name = Some(name.into());
        }
    }

    fn combine(&mut self, kind: &str, message: &str, at: Timestamp) -> bool {
        make_room(&mut self.similar, |similar| similar.at);
        let similar =
            self.similar.entry(kind.into()).or_insert_with(|| Similar { messages: HashSet::new(), at });
        if at.duration_since(similar.at) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.at = at;
        if similar.messages.len() < SIMILAR_MAX {
            similar.messages.insert(message.into());
        }
        similar.messages.len() >= SIMILAR_MAX
    }

    fn count(&mut self, key: String, message: String, at: Timestamp) -> Write {
        make_room(&mut self.seen, |seen| seen.at);
        let seen = self.seen.entry(key.clone()).or_insert(Seen { count: 0, first: at, name: None, at });
        seen.count = seen.count.saturating_add(1);
        seen.at = at;
        Write { count: seen.count, first: seen.first, message, name: seen.name.clone(), key }
    }

    fn may_pass(&mut self, about: &str, at: Timestamp) -> bool {
        make_room(&mut self.spam, |bucket| bucket.at);
        let bucket = self.spam.entry(about.into()).or_insert(Bucket { tokens: SPAM_BURST, at });
        let passed = at.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * SPAM_PER_SECOND).min(SPAM_BURST);
        bucket.at = at;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

fn about_key(about: &ObjectReference) -> String {
    let parts =
        [&about.api_version, &about.kind, &about.namespace, &about.name, &about.uid, &about.field_path];
    parts.map(|part| part.as_deref().unwrap_or_default()).join("\0")
}

/// Forgets the older half when there are too many.
fn make_room<K: Clone + Eq + Hash, V>(map: &mut HashMap<K, V>, at: impl Fn(&V) -> Timestamp) {
    if map.len() < KEPT_MAX {
        return;
    }
    let mut times: Vec<Timestamp> = map.values().map(&at).collect();
    let middle = times.len() / 2;
    let median = *times.select_nth_unstable(middle).1;
    map.retain(|_, value| at(value) > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(message: &str, second: i64) -> Report {
        Report {
            about: ObjectReference { name: Some("web-0".into()), ..Default::default() },
            kind: "Warning",
            reason: "Failed".into(),
            message: message.into(),
            at: Timestamp::from_second(second).expect("a small number"),
        }
    }

    #[test]
    fn a_repeat_counts_up_the_object_that_was_written() {
        let mut correlator = Correlator::default();
        let first = correlator.correlate(&report("no", 1)).expect("passes");
        assert_eq!((first.count, &first.name), (1, &None));
        correlator.written(&first.key, "web-0.1");
        let second = correlator.correlate(&report("no", 5)).expect("passes");
        assert_eq!((second.count, second.name.as_deref()), (2, Some("web-0.1")));
        assert_eq!(second.first, report("", 1).at);
        assert_eq!(correlator.correlate(&report("other", 6)).expect("passes").count, 1);
    }

    #[test]
    fn the_tenth_different_message_is_combined() {
        let mut correlator = Correlator::default();
        for n in 0..9 {
            let write = correlator.correlate(&report(&n.to_string(), n)).expect("passes");
            assert_eq!((write.message, write.count), (n.to_string(), 1));
        }
        for (n, count) in [(9, 1), (10, 2)] {
            let write = correlator.correlate(&report(&n.to_string(), n)).expect("passes");
            assert_eq!(write.message, format!("(combined from similar events): {n}"));
            assert_eq!(write.count, count);
        }
        let later = correlator.correlate(&report("later", 1000)).expect("passes");
        assert_eq!(later.message, "later");
    }

    #[test]
    fn one_objects_events_are_limited() {
        let mut correlator = Correlator::default();
        let passed = (0..100).filter(|_| correlator.correlate(&report("no", 1)).is_some()).count();
        assert_eq!(passed, 25);
        assert!(correlator.correlate(&report("no", 200)).is_none());
        assert_eq!(correlator.correlate(&report("no", 302)).expect("one in five minutes").count, 102);
    }

    #[test]
    fn memory_is_bounded() {
        let mut correlator = Correlator::default();
        for n in 0..3 * KEPT_MAX {
            let mut report = report("no", n as i64);
            report.about.name = Some(n.to_string());
            correlator.correlate(&report);
        }
        assert!(correlator.seen.len() <= KEPT_MAX && correlator.spam.len() <= KEPT_MAX);
    }
}
