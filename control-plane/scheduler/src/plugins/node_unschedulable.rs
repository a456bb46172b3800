//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use std::sync::LazyLock;

use crate::framework::{ClusterChange, CycleState, Filter, Hint, Plugin, Status};
use crate::model::{Effect, NodeFacts, NodeInfo, PodInfo, Taint, tolerates};

static CORDON: LazyLock<Taint> = LazyLock::new(|| Taint {
    key: "node.kubernetes.io/unschedulable".into(),
    value: String::new(),
    effect: Effect::NoSchedule,
});

pub struct NodeUnschedulable;

fn accepts(node: &NodeFacts, pod: &PodInfo) -> bool {
    !node.unschedulable || tolerates(&pod.spec.tolerations, &CORDON)
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
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

impl Filter for NodeUnschedulable {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if accepts(&node.facts, pod) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) were unschedulable")
        }
    }
}
