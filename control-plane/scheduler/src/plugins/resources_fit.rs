//! NodeResourcesFit: what the pod requests is free on the node; scored by LeastAllocated.

use std::borrow::Cow;

use crate::framework::{
    ClusterChange, Code, CycleState, Filter, Hint, NODE_SCORE_MAX, Plugin, Score, Status,
};
use crate::model::{NodeFacts, NodeInfo, PodInfo, Resources};

pub struct NodeResourcesFit;

/// What is lacking, and whether an empty node would lack it too.
struct Lack {
    reasons: Vec<Cow<'static, str>>,
    even_if_empty: bool,
}

impl Lack {
    fn check(&mut self, wanted: i64, used: i64, has: i64, reason: impl FnOnce() -> Cow<'static, str>) {
        if wanted > 0 && wanted > has.saturating_sub(used) {
            self.reasons.push(reason());
            self.even_if_empty |= wanted > has;
        }
    }
}

fn lack(wanted: &Resources, used: &Resources, pods: i64, node: &NodeFacts) -> Lack {
    let mut lack = Lack { reasons: Vec::new(), even_if_empty: false };
    if pods + 1 > node.pods_max {
        lack.reasons.push(Cow::Borrowed("Too many pods"));
    }
    let has = &node.allocatable;
    lack.check(wanted.milli_cpu, used.milli_cpu, has.milli_cpu, || "Insufficient cpu".into());
    lack.check(wanted.memory, used.memory, has.memory, || "Insufficient memory".into());
    let (disk, disk_used) = (wanted.ephemeral_storage, used.ephemeral_storage);
    lack.check(disk, disk_used, has.ephemeral_storage, || "Insufficient ephemeral-storage".into());
    for (name, wanted) in &wanted.scalars {
        lack.check(*wanted, used.scalar(name), has.scalar(name), || format!("Insufficient {name}").into());
    }
    lack
}

fn would_fit_empty(pod: &PodInfo, node: &NodeFacts) -> bool {
    lack(&pod.spec.requests, &Resources::default(), 0, node).reasons.is_empty()
}

fn node_grew(old: &NodeFacts, new: &NodeFacts, wanted: &Resources) -> bool {
    new.pods_max > old.pods_max || new.allocatable.any_increased(&old.allocatable, wanted)
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn hint(&self, pod: &PodInfo, change: &ClusterChange) -> Hint {
        let wanted = &pod.spec.requests;
        Hint::queue_if(match change {
            ClusterChange::NodeAdded(node) => would_fit_empty(pod, node),
            ClusterChange::NodeUpdated { old, new } => {
                node_grew(old, new, wanted) && would_fit_empty(pod, new)
            }
            ClusterChange::AssignedPodDeleted(_) => true,
            ClusterChange::AssignedPodUpdated { old, new } => {
                old.spec.requests.any_increased(&new.spec.requests, wanted)
            }
            ClusterChange::PodUpdated { old, new } => {
                old.spec.requests.any_increased(&new.spec.requests, &old.spec.requests)
            }
            ClusterChange::Timeout => true,
        })
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let lack = lack(&pod.spec.requests, &node.requested, node.pods, &node.facts);
        if lack.reasons.is_empty() {
            return Status::SUCCESS;
        }
        let code = if lack.even_if_empty { Code::UnschedulableAndUnresolvable } else { Code::Unschedulable };
        Status { code, reasons: lack.reasons, plugin: "" }
    }
}

impl Score for NodeResourcesFit {
    /// LeastAllocated: the mean share of CPU and memory that stays free.
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let has = &node.facts.allocatable;
        let (used, wanted) = (&node.counted, &pod.spec.counted);
        let shares =
            [(used.milli_cpu + wanted.milli_cpu, has.milli_cpu), (used.memory + wanted.memory, has.memory)];
        let known = shares.iter().filter(|(_, has)| *has > 0);
        let (sum, count) = known.fold((0, 0), |(sum, count), (taken, has)| {
            let free = if taken > has { 0 } else { free_share(*taken, *has) };
            (sum + free, count + 1)
        });
        if count == 0 { 0 } else { sum / count }
    }
}

fn free_share(taken: i64, has: i64) -> i64 {
    let share = i128::from(has - taken) * i128::from(NODE_SCORE_MAX) / i128::from(has);
    i64::try_from(share).unwrap_or(NODE_SCORE_MAX)
}
