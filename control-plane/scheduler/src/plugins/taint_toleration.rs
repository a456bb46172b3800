//! TaintToleration: taints that forbid, and taints that advise against.

use crate::framework::{ClusterChange, CycleState, Filter, Hint, Plugin, Score, Status, normalize_by_max};
use crate::model::{Effect, NodeFacts, NodeInfo, PodInfo, tolerates};

pub struct TaintToleration;

fn accepts(node: &NodeFacts, pod: &PodInfo) -> bool {
    node.taints.iter().filter(|taint| taint.forbids()).all(|taint| tolerates(&pod.spec.tolerations, taint))
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn hint(&self, pod: &PodInfo, change: &ClusterChange) -> Hint {
        Hint::queue_if(match change {
            ClusterChange::NodeAdded(node) => accepts(node, pod),
            ClusterChange::NodeUpdated { old, new } => accepts(new, pod) && !accepts(old, pod),
            ClusterChange::PodUpdated { old, new } => old.spec.tolerations != new.spec.tolerations,
            _ => false,
        })
    }
}

impl Filter for TaintToleration {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if accepts(&node.facts, pod) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) had untolerated taint(s)")
        }
    }
}

impl Score for TaintToleration {
    /// How many `PreferNoSchedule` taints the pod does not tolerate.
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let advice = node.facts.taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
        let unheeded = advice.filter(|taint| !tolerates(&pod.spec.tolerations, taint)).count();
        i64::try_from(unheeded).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, true);
    }
}
