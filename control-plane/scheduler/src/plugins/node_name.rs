//! NodeName: a pod that names its node fits there only.

use crate::framework::{ClusterChange, CycleState, Filter, Hint, Plugin, Status};
use crate::model::{NodeInfo, PodInfo};

pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn hint(&self, pod: &PodInfo, change: &ClusterChange) -> Hint {
        Hint::queue_if(match change {
            ClusterChange::NodeAdded(node) => pod.node.as_ref().is_none_or(|name| *name == node.name),
            _ => false,
        })
    }
}

impl Filter for NodeName {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if pod.node.as_ref().is_none_or(|name| *name == node.facts.name) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) didn't match the requested node name")
        }
    }
}
