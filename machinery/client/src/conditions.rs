//! Conditions in a status: set one, and its transition time moves only when its status does.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSetCondition};
use k8s_openapi::api::core::v1::{NamespaceCondition, NodeCondition, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as MetaCondition, Time};

/// One condition of a kind's status. The kinds disagree on which times they keep; this is what they share.
pub trait Condition {
    fn kind(&self) -> &str;
    fn status(&self) -> &str;
    fn reason(&self) -> &str;
    fn message(&self) -> &str;
    fn transition_time(&self) -> Option<Timestamp>;
    fn set_transition_time(&mut self, at: Timestamp);
}

macro_rules! condition {
    ($($kind:ty),*) => {$(
        impl Condition for $kind {
            fn kind(&self) -> &str {
                &self.type_
            }
            fn status(&self) -> &str {
                &self.status
            }
            fn reason(&self) -> &str {
                self.reason.as_deref().unwrap_or_default()
            }
            fn message(&self) -> &str {
                self.message.as_deref().unwrap_or_default()
            }
            fn transition_time(&self) -> Option<Timestamp> {
                self.last_transition_time.as_ref().map(|time| time.0)
            }
            fn set_transition_time(&mut self, at: Timestamp) {
                self.last_transition_time = Some(Time(at));
            }
        }
    )*};
}

condition!(DeploymentCondition, ReplicaSetCondition, NamespaceCondition, NodeCondition, PodCondition);

impl Condition for MetaCondition {
    fn kind(&self) -> &str {
        &self.type_
    }
    fn status(&self) -> &str {
        &self.status
    }
    fn reason(&self) -> &str {
        &self.reason
    }
    fn message(&self) -> &str {
        &self.message
    }
    fn transition_time(&self) -> Option<Timestamp> {
        Some(self.last_transition_time.0)
    }
    fn set_transition_time(&mut self, at: Timestamp) {
        self.last_transition_time = Time(at);
    }
}

/// The condition of that type.
pub fn get<'a, C: Condition>(conditions: &'a [C], kind: &str) -> Option<&'a C> {
    conditions.iter().find(|condition| condition.kind() == kind)
}

/// Whether the condition is there and "True".
pub fn is_true<C: Condition>(conditions: &[C], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status() == "True")
}

/// Puts `new` in the place of the condition of its type, or at the end. Its transition time is the old one's while the
/// status stays, else `now`. Says whether status, reason or message changed; if not, the list is as it was.
pub fn set<C: Condition>(conditions: &mut Vec<C>, mut new: C, now: Timestamp) -> bool {
    let Some(old) = conditions.iter_mut().find(|condition| condition.kind() == new.kind()) else {
        new.set_transition_time(now);
        conditions.push(new);
        return true;
    };
    if old.status() == new.status() && old.reason() == new.reason() && old.message() == new.message() {
        return false;
    }
    let since = if old.status() == new.status() { old.transition_time() } else { None };
    new.set_transition_time(since.unwrap_or(now));
    *old = new;
    true
}

/// Takes the condition of that type away; says whether it was there.
pub fn remove<C: Condition>(conditions: &mut Vec<C>, kind: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.kind() != kind);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_with_the_status_only() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a small number");
        let ready = |status: &str, reason: &str| PodCondition {
            type_: "Ready".into(),
            status: status.into(),
            reason: Some(reason.into()),
            ..Default::default()
        };
        let mut list = vec![];
        // (status, reason, now, changed, transition time)
        for (status, reason, now, changed, transition) in [
            ("False", "A", 1, true, 1),
            ("False", "A", 2, false, 1),
            ("False", "B", 3, true, 1),
            ("True", "B", 4, true, 4),
        ] {
            assert_eq!(set(&mut list, ready(status, reason), at(now)), changed);
            assert_eq!(list[0].transition_time(), Some(at(transition)));
        }
        assert!(is_true(&list, "Ready") && !is_true(&list, "Other"));
        assert!(remove(&mut list, "Ready") && list.is_empty());
    }
}
