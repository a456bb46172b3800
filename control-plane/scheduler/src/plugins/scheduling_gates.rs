//! SchedulingGates: a pod with gates stays out of the queue (KEP-3521).

use crate::framework::{ClusterChange, Hint, Plugin, PreEnqueue, Status};
use crate::model::PodInfo;

pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn hint(&self, _: &PodInfo, change: &ClusterChange) -> Hint {
        Hint::queue_if(matches!(change, ClusterChange::PodUpdated { new, .. } if !new.spec.gated))
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &PodInfo) -> Status {
        if pod.spec.gated { Status::unresolvable("waiting for scheduling gates") } else { Status::SUCCESS }
    }
}
