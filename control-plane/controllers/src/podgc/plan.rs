//! Which pods nobody else will remove.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::common::pods::{is_terminal, node_name, phase, uid};

/// Why a pod is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doom {
    /// Its node is gone.
    Orphaned,
    /// It was told to end before it had a node: no kubelet will end it.
    Unscheduled,
    /// Its node is out of service: its kubelet cannot end it.
    OutOfService,
    /// Too many pods have ended.
    Surplus,
}

/// The taint by which an operator says that a node has been switched off.
pub(super) fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let tainted = taints.into_iter().any(|taint| taint.key == "node.kubernetes.io/out-of-service");
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ready =
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    tainted && !ready
}

/// Whether a pod that was told to end needs help.
pub(super) fn terminating(pod: &Pod, out_of_service: bool) -> Option<Doom> {
    pod.metadata.deletion_timestamp.as_ref()?;
    if is_terminal(pod) && pod.metadata.deletion_grace_period_seconds == Some(0) {
        // All that can be done was done; a finalizer holds it.
        return None;
    }
    if node_name(pod).is_empty() {
        return Some(Doom::Unscheduled);
    }
    out_of_service.then_some(Doom::OutOfService)
}

/// Of the ended pods the oldest that are too many; evicted ones first.
pub(super) fn surplus(pods: Vec<Arc<Pod>>, threshold: usize) -> Vec<Arc<Pod>> {
    let mut ended: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| is_terminal(pod)).collect();
    let count = ended.len().saturating_sub(threshold);
    let evicted = |pod: &Pod| {
        let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
        phase(pod) == "Failed" && reason == Some("Evicted")
    };
    ended.sort_by_cached_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (!evicted(pod), created, uid(pod).to_string())
    });
    ended.truncate(count);
    ended
}
