//! Which labels a kubelet may set on its own node: none by which it could draw workloads to itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::value::at;

const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Kubernetes' labels that a kubelet knows of itself.
const KUBELETS_OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const KUBELETS_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// The keys of labels that differ, in order.
pub(super) fn modified<'a>(new: &'a Value, old: Option<&'a Value>) -> impl Iterator<Item = &'a str> {
    let labels = |object: &'a Value| at(object, &["metadata", "labels"]).and_then(Value::as_object);
    let (new, old) = (labels(new), old.and_then(labels));
    let keys: BTreeSet<&str> =
        [new, old].into_iter().flatten().flat_map(|l| l.keys().map(String::as_str)).collect();
    keys.into_iter().filter(move |key| new.and_then(|l| l.get(*key)) != old.and_then(|l| l.get(*key)))
}

pub(super) fn forbidden<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    keys.filter(|key| is_forbidden(key)).collect()
}

fn is_forbidden(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |parent: &str| {
        namespace == parent || namespace.strip_suffix(parent).is_some_and(|child| child.ends_with('.'))
    };
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    let allowed = KUBELETS_OWN.contains(&key) || KUBELETS_NAMESPACES.into_iter().any(within);
    within(RESTRICTED) || kubernetes && !allowed
}
