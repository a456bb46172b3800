//! NodeResourcesBalancedAllocation: prefers the node whose CPU and memory are used in more equal shares with the pod
//! than without it.

use crate::framework::{CycleState, NODE_SCORE_MAX, Plugin, PreScore, Score, Status};
use crate::model::{NodeInfo, PodInfo, Resources};

pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
}

impl PreScore for NodeResourcesBalancedAllocation {
    /// A pod that asks for neither changes no balance.
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &[&NodeInfo]) -> Status {
        let wanted = &pod.spec.requests;
        if wanted.milli_cpu == 0 && wanted.memory == 0 { Status::SKIP } else { Status::SUCCESS }
    }
}

/// 100 where both shares are equal, less the further they are apart. The standard deviation of two numbers is half
/// their distance.
fn balance(used: (i64, i64), has: &Resources) -> i64 {
    if has.milli_cpu <= 0 || has.memory <= 0 {
        return NODE_SCORE_MAX;
    }
    let share = |used: i64, has: i64| (used as f64 / has as f64).min(1.0);
    let apart = (share(used.0, has.milli_cpu) - share(used.1, has.memory)).abs() / 2.0;
    ((1.0 - apart) * NODE_SCORE_MAX as f64) as i64
}

impl Score for NodeResourcesBalancedAllocation {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (used, wanted, has) = (&node.requested, &pod.spec.requests, &node.facts.allocatable);
        let without = balance((used.milli_cpu, used.memory), has);
        let with = balance((used.milli_cpu + wanted.milli_cpu, used.memory + wanted.memory), has);
        NODE_SCORE_MAX / 2 + (NODE_SCORE_MAX / 2 + with - without) / 2
    }
}
