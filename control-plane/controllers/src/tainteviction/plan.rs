//! Until when a pod may stay on a node.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint, Toleration};

use crate::common::plus_seconds;

/// How long a pod may stay.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stay {
    Forever,
    Until(Timestamp),
}

/// The node's taints that evict.
pub(super) fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// `since` is when the pod's tolerations began to run.
pub(super) fn stay(taints: &[Taint], tolerations: &[Toleration], since: Timestamp) -> Stay {
    if taints.is_empty() {
        return Stay::Forever;
    }
    let mut used = vec![];
    for taint in taints {
        let matching: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Stay::Until(since);
        }
        used.extend(matching);
    }
    // The shortest of all that are needed counts; one without a time is for ever.
    match used.iter().filter_map(|toleration| toleration.toleration_seconds).min() {
        None => Stay::Forever,
        Some(seconds) => Stay::Until(plus_seconds(since, seconds.max(0))),
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let effect = some(&toleration.effect).is_none_or(|effect| effect == taint.effect);
    let key = some(&toleration.key).is_none_or(|key| key == taint.key);
    let value = match some(&toleration.operator).as_deref() {
        Some("Exists") => true,
        None | Some("Equal") => {
            toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        Some(_) => false,
    };
    effect && key && value
}
