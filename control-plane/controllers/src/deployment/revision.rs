//! Versions of a template: which replica set carries it, its hash, and the annotations that count and copy.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::strategy;

pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a deployment that its replica sets do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// Upstream keeps at most this many bytes of revision history.
const HISTORY_MAX: usize = 2000;

/// Characters that cannot spell words: no vowels, no look-alikes.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The name part of a template's replica set. The count of collisions goes in, so that a taken name gives another.
pub(super) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(template).expect("a template is plain data");
    if let Some(collisions) = collisions {
        bytes.extend_from_slice(&collisions.to_le_bytes());
    }
    let fnv =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let digits = fnv.to_string();
    digits.bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}

/// Whether two templates are the same version.
fn equal_but_for_hash(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let labels = |template: &PodTemplateSpec| {
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.remove(HASH_LABEL);
        labels
    };
    let annotations = |template: &PodTemplateSpec| {
        template.metadata.as_ref().and_then(|meta| meta.annotations.clone()).unwrap_or_default()
    };
    a.spec == b.spec && labels(a) == labels(b) && annotations(a) == annotations(b)
}

/// Whether the set carries the deployment's present template.
pub(super) fn carries(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    template.zip(wanted).is_some_and(|(template, wanted)| equal_but_for_hash(template, wanted))
}

pub(super) fn of_set(set: &ReplicaSet) -> i64 {
    number(set.metadata.annotations.as_ref(), REVISION).unwrap_or_default()
}

pub(super) fn number(annotations: Option<&BTreeMap<String, String>>, key: &str) -> Option<i64> {
    annotations?.get(key)?.parse().ok()
}

/// Copies what a set inherits, and writes its revision and the two numbers that scaling reads. Says whether anything
/// changed.
pub(super) fn annotate(set: &mut ReplicaSet, deployment: &Deployment, revision: i64) -> bool {
    let before = set.metadata.annotations.clone();
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_INHERITED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let old = number(Some(annotations), REVISION);
    if old.unwrap_or_default() < revision {
        annotations.insert(REVISION.into(), revision.to_string());
        if let Some(old) = old {
            remember(annotations, old);
        }
    }
    if before.is_none() && annotations.is_empty() {
        set.metadata.annotations = None;
    }
    before != set.metadata.annotations
}

/// A set that comes back into use keeps the revisions it had.
fn remember(annotations: &mut BTreeMap<String, String>, old: i64) {
    let history = annotations.entry(REVISION_HISTORY.into()).or_default();
    let mut parts: Vec<String> =
        history.split(',').filter(|part| !part.is_empty()).map(String::from).collect();
    parts.push(old.to_string());
    while parts.len() > 1 && parts.iter().map(|part| part.len() + 1).sum::<usize>() > HISTORY_MAX {
        parts.remove(0);
    }
    *history = parts.join(",");
}

/// Writes the deployment's wanted and largest size on a set. Says whether that changed it.
pub(super) fn annotate_sizes(set: &mut ReplicaSet, deployment: &Deployment) -> bool {
    let desired = strategy::replicas(deployment);
    let max = desired + strategy::max_surge(deployment);
    let annotations = set.metadata.annotations.get_or_insert_default();
    let mut changed = false;
    for (key, value) in [(DESIRED, desired.to_string()), (MAX, max.to_string())] {
        if annotations.get(key) != Some(&value) {
            annotations.insert(key.into(), value);
            changed = true;
        }
    }
    changed
}

/// On a rollback the annotations of the version that comes back are the deployment's again, so kubectl shows its
/// change cause; here only the revision is written. Says whether that changed the deployment.
pub(super) fn annotate_deployment(deployment: &mut Deployment, revision: &str) -> bool {
    let annotations = deployment.metadata.annotations.get_or_insert_default();
    if annotations.get(REVISION).is_some_and(|old| old == revision) {
        return false;
    }
    annotations.insert(REVISION.into(), revision.into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn template(image: &str) -> PodTemplateSpec {
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        });
        from_value(template).expect("a template")
    }

    #[test]
    fn a_hash_looks_like_upstreams_and_tells_versions_apart() {
        let one = hash(&template("a"), None);
        assert!((1..=10).contains(&one.len()) && one.bytes().all(|byte| SAFE.contains(&byte)), "{one}");
        assert_eq!(one, hash(&template("a"), None));
        assert_ne!(one, hash(&template("b"), None));
        assert_ne!(one, hash(&template("a"), Some(1)));
    }

    #[test]
    fn the_hash_label_is_no_difference() {
        let mut labelled = template("a");
        let labels = labelled.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.into(), "x".into());
        assert!(equal_but_for_hash(&template("a"), &labelled));
        assert!(!equal_but_for_hash(&template("b"), &labelled));
    }

    #[test]
    fn a_set_that_comes_back_remembers_its_revisions() {
        let (mut set, mut deployment) = (ReplicaSet::default(), Deployment::default());
        deployment.metadata.annotations =
            Some([("note".to_string(), "kept".to_string()), (REVISION.to_string(), "9".to_string())].into());
        for revision in [1, 3, 3, 5] {
            annotate(&mut set, &deployment, revision);
        }
        let annotations = set.metadata.annotations.clone().expect("has some");
        assert_eq!(annotations[REVISION], "5");
        assert_eq!(annotations[REVISION_HISTORY], "1,3");
        assert_eq!(annotations["note"], "kept");
        assert!(!annotate(&mut set, &deployment, 5), "nothing changed");
    }
}
