//! NodeAffinity: `nodeSelector` and node affinity, required and preferred.

use crate::cache::Snapshot;
use crate::framework::{
    ClusterChange, CycleState, Filter, Hint, Plugin, PreFilter, PreFiltered, PreScore, Score, Status,
    normalize_by_max,
};
use crate::model::{NodeInfo, PodInfo};

pub struct NodeAffinityPlugin;

impl Plugin for NodeAffinityPlugin {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn hint(&self, pod: &PodInfo, change: &ClusterChange) -> Hint {
        let affinity = &pod.spec.affinity;
        Hint::queue_if(match change {
            ClusterChange::NodeAdded(node) => affinity.matches(node),
            ClusterChange::NodeUpdated { old, new } => affinity.matches(new) && !affinity.matches(old),
            // Gated pods may be given tighter selectors.
            ClusterChange::PodUpdated { old, new } => old.spec.affinity != new.spec.affinity,
            _ => false,
        })
    }
}

impl PreFilter for NodeAffinityPlugin {
    fn pre_filter(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot) -> PreFiltered {
        let affinity = &pod.spec.affinity;
        if affinity.requires_nothing() {
            return Status::SKIP.into();
        }
        match affinity.required_names() {
            Some(names) if names.is_empty() => Status::unresolvable("pod affinity terms conflict").into(),
            Some(names) => {
                let nodes = names.into_iter().map(Into::into).collect();
                PreFiltered { status: Status::SUCCESS, nodes: Some(nodes) }
            }
            None => Status::SUCCESS.into(),
        }
    }
}

impl Filter for NodeAffinityPlugin {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if pod.spec.affinity.matches(&node.facts) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) didn't match Pod's node affinity/selector")
        }
    }
}

impl PreScore for NodeAffinityPlugin {
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &[&NodeInfo]) -> Status {
        if pod.spec.affinity.preferred.is_empty() { Status::SKIP } else { Status::SUCCESS }
    }
}

impl Score for NodeAffinityPlugin {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        pod.spec.affinity.preference(&node.facts)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, false);
    }
}
