//! NodePorts: host ports can be taken once.

use crate::cache::Snapshot;
use crate::framework::{ClusterChange, CycleState, Filter, Hint, Plugin, PreFilter, PreFiltered, Status};
use crate::model::{NodeInfo, PodInfo};

pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn hint(&self, pod: &PodInfo, change: &ClusterChange) -> Hint {
        Hint::queue_if(match change {
            ClusterChange::NodeAdded(_) => true,
            ClusterChange::AssignedPodDeleted(gone) => {
                let wanted = &pod.spec.ports;
                gone.spec.ports.iter().any(|freed| wanted.iter().any(|port| port.conflicts(freed)))
            }
            _ => false,
        })
    }
}

impl PreFilter for NodePorts {
    fn pre_filter(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot) -> PreFiltered {
        if pod.spec.ports.is_empty() { Status::SKIP.into() } else { Status::SUCCESS.into() }
    }
}

impl Filter for NodePorts {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if node.ports.conflict(&pod.spec.ports) {
            Status::unschedulable("node(s) didn't have free ports for the requested pod ports")
        } else {
            Status::SUCCESS
        }
    }
}
