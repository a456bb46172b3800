//! What a namespace reports while it is emptied: five conditions, in upstream's words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use oarlock_client::conditions;

use super::content::Content;

/// Brings phase and conditions up to date; says whether anything changed.
pub(super) fn report(namespace: &mut Namespace, content: &Content, now: Timestamp) -> bool {
    let status = namespace.status.get_or_insert_default();
    let mut changed = status.phase.as_deref() != Some("Terminating");
    status.phase = Some("Terminating".into());
    let list = status.conditions.get_or_insert_default();
    for (kind, problem) in [
        ("NamespaceDeletionDiscoveryFailure", discovery(content)),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            good("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        ("NamespaceDeletionContentFailure", failures(content)),
        ("NamespaceContentRemaining", remaining(content)),
        ("NamespaceFinalizersRemaining", finalizers(content)),
    ] {
        let (status, reason, message) = problem;
        let condition = NamespaceCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: None,
        };
        changed |= conditions::set(list, condition, now);
    }
    changed
}

type Said = (&'static str, &'static str, String);

fn good(reason: &'static str, message: &str) -> Said {
    ("False", reason, message.into())
}

fn discovery(content: &Content) -> Said {
    if content.discovery_failures.is_empty() {
        return good("ResourcesDiscovered", "All resources successfully discovered");
    }
    let failed = content.discovery_failures.join(", ");
    (
        "True",
        "DiscoveryFailed",
        format!("Discovery failed for some groups, {} failing: {failed}", content.discovery_failures.len()),
    )
}

fn failures(content: &Content) -> Said {
    if content.failures.is_empty() {
        return good("ContentDeleted", "All content successfully deleted, may be waiting on finalization");
    }
    let failed = content.failures.join(", ");
    let message =
        format!("Failed to delete all resource types, {} remaining: {failed}", content.failures.len());
    ("True", "ContentDeletionFailed", message)
}

fn remaining(content: &Content) -> Said {
    if content.remaining.is_empty() {
        return good("ContentRemoved", "All content successfully removed");
    }
    let list = counted(&content.remaining, "has");
    ("True", "SomeResourcesRemain", format!("Some resources are remaining: {list}"))
}

fn finalizers(content: &Content) -> Said {
    if content.finalizers.is_empty() {
        return good("ContentHasNoFinalizers", "All content-preserving finalizers finished");
    }
    let list = counted(&content.finalizers, "in");
    let message = format!("Some content in the namespace has finalizers remaining: {list}");
    ("True", "SomeFinalizersRemain", message)
}

fn counted(counts: &BTreeMap<String, usize>, word: &str) -> String {
    let parts = counts.iter().map(|(what, count)| format!("{what} {word} {count} resource instances"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(content: &Content) -> String {
        let mut namespace = Namespace::default();
        assert!(report(&mut namespace, content, Timestamp::UNIX_EPOCH));
        assert!(!report(&mut namespace, content, Timestamp::UNIX_EPOCH), "the same again is no change");
        let list = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
        let bad = list.iter().filter(|condition| condition.status == "True");
        bad.filter_map(|condition| condition.message.clone()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn conditions_say_what_is_left() {
        assert_eq!(messages(&Content::default()), "");
        let content = Content {
            remaining: [("pods.".to_string(), 2), ("widgets.example.com.".to_string(), 1)].into(),
            finalizers: [("example.com/hold".to_string(), 1)].into(),
            ..Content::default()
        };
        assert_eq!(
            messages(&content),
            "Some resources are remaining: pods. has 2 resource instances, widgets.example.com. has 1 resource instances; \
             Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
    }
}
