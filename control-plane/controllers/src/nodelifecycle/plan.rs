//! What follows from a node's conditions: its taints, and how fast its zone may be evicted from.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oarlock_client::conditions;

use super::ready;
use crate::config::NodeLifecycleConfig;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The conditions that a silent node is no longer believed.
const BELIEVED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Taints without eviction that a condition of that status stands for.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

pub(super) fn ready_status(node: &Node) -> &str {
    ready(node).map_or("Unknown", |condition| condition.status.as_str())
}

/// The kubelet has not yet written its own status: there is no Ready condition, or the one this controller put there.
pub(super) fn never_reported(node: &Node) -> bool {
    ready(node).is_none_or(|ready| ready.reason.as_deref() == Some("NodeStatusNeverUpdated"))
}

/// The node reported, and is not ready.
pub(super) fn lost_readiness(node: &Node) -> bool {
    ready(node).is_some_and(|ready| ready.status != "True")
}

/// The conditions of a node that has been silent for too long; `None` when they say so already.
pub(super) fn silenced(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut list = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut changed = false;
    for kind in BELIEVED {
        let Some(old) = conditions::get(&list, kind) else {
            let never = NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            };
            list.push(never);
            changed = true;
            continue;
        };
        if old.status == "Unknown" {
            continue;
        }
        let stopped = NodeCondition {
            status: "Unknown".into(),
            reason: Some("NodeStatusUnknown".into()),
            message: Some("Kubelet stopped posting node status.".into()),
            ..old.clone()
        };
        changed |= conditions::set(&mut list, stopped, now);
    }
    changed.then_some(list)
}

/// The taints that the node should have, if others than it has. `evict`: those that evict pods may be set.
pub(super) fn taints(node: &Node, evict: bool, now: Timestamp) -> Option<Vec<Taint>> {
    let old = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = vec![];
    let list = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    for (kind, status, key) in CONDITION_TAINTS {
        if conditions::get(list, kind).is_some_and(|condition| condition.status == status) {
            wanted.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    if evict {
        match ready(node).map(|ready| ready.status.as_str()) {
            Some("False") => wanted.push((NOT_READY, "NoExecute")),
            Some("Unknown") => wanted.push((UNREACHABLE, "NoExecute")),
            _ => {}
        }
    }
    // A node that has not reported yet keeps the taint it registered with.
    let ours = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => {
            let key = taint.key.as_str();
            key == UNSCHEDULABLE
                || (!list.is_empty() && CONDITION_TAINTS.iter().any(|(_, _, known)| *known == key))
        }
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let is_wanted =
        |taint: &Taint| wanted.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect);
    let mut new: Vec<Taint> = old.iter().filter(|taint| !ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !new.iter().any(|taint| taint.key == key && taint.effect == effect) {
            new.push(Taint {
                key: key.into(),
                effect: effect.into(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    (new != old).then_some(new)
}

pub(super) fn has_eviction_taint(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let key = if ready_status(node) == "False" { NOT_READY } else { UNREACHABLE };
    taints.into_iter().any(|taint| taint.effect == "NoExecute" && taint.key == key)
}

/// Region and zone, as upstream joins them.
pub(super) fn zone_of(node: &Node) -> String {
    let label = |key: &str| {
        node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
    };
    format!("{}:\0:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// How the nodes of a zone are.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) ready: usize,
    pub(super) not_ready: usize,
    /// No node of any zone is ready: then it is rather we who are cut off.
    pub(super) all_down: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    Now,
    Later(Duration),
    Never,
}

/// The time from one eviction in the zone to the next; `None`: none at all.
pub(super) fn eviction_period(zone: &Zone, settings: &NodeLifecycleConfig) -> Option<Duration> {
    let total = zone.ready + zone.not_ready;
    let share = zone.not_ready as f64 / total.max(1) as f64;
    let rate = if zone.all_down {
        0.0
    } else if zone.ready == 0 || zone.not_ready <= 2 || share < settings.unhealthy_zone_threshold {
        settings.eviction_rate
    } else if total > settings.large_cluster_size_threshold {
        settings.secondary_eviction_rate
    } else {
        0.0
    };
    (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate))
}
