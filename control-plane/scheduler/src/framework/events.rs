//! Changes of the cluster that may make a pod schedulable, and what a plugin that rejected it says to them.

use std::sync::Arc;

use crate::model::{NodeFacts, PodInfo};

#[derive(Debug, Clone)]
pub enum ClusterChange {
    NodeAdded(Arc<NodeFacts>),
    NodeUpdated {
        old: Arc<NodeFacts>,
        new: Arc<NodeFacts>,
    },
    /// A pod left its node: deleted, or it came to its end.
    AssignedPodDeleted(Arc<PodInfo>),
    /// A pod on a node was changed in place (KEP-1287).
    AssignedPodUpdated {
        old: Arc<PodInfo>,
        new: Arc<PodInfo>,
    },
    /// The waiting pod itself was changed.
    PodUpdated {
        old: Arc<PodInfo>,
        new: Arc<PodInfo>,
    },
    /// It waited too long; whatever it waited for may have been missed.
    Timeout,
}

impl ClusterChange {
    /// Upstream's label in `scheduler_queue_incoming_pods_total`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NodeAdded(_) => "NodeAdd",
            Self::NodeUpdated { .. } => "NodeUpdate",
            Self::AssignedPodDeleted(_) => "AssignedPodDelete",
            Self::AssignedPodUpdated { .. } => "AssignedPodUpdate",
            Self::PodUpdated { .. } => "UnscheduledPodUpdate",
            Self::Timeout => "UnschedulableTimeout",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The pod may fit now.
    Queue,
    /// For all that this plugin knows, nothing changed for the pod.
    Skip,
}

impl Hint {
    pub fn queue_if(may_fit: bool) -> Self {
        if may_fit { Self::Queue } else { Self::Skip }
    }
}
