//! Which claims a pod uses.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use oarlock_client::controller_of;

use crate::common::pods::{is_terminal, name, node_name};

/// The claim that a volume is, if it is one: named, or made for the pod.
fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some(claim.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", name(pod), volume.name)),
        (None, None) => None,
    }
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// The names of the claims that a pod may use.
pub(super) fn claims(pod: &Pod) -> impl Iterator<Item = String> {
    volumes(pod).filter_map(|volume| claim_name(pod, volume))
}

/// Whether a claim must stay for a pod. One that is not on a node does not count: no kubelet starts a pod with a claim
/// that is told to go. One that has ended counts until it is gone, for its volumes may be mounted still.
pub(super) fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    if node_name(pod).is_empty() || pod.metadata.namespace != claim.metadata.namespace {
        return false;
    }
    let wanted = claim.metadata.name.as_deref();
    volumes(pod).filter(|volume| claim_name(pod, volume).as_deref() == wanted).any(|volume| {
        volume.persistent_volume_claim.is_some() || (!is_shut_down(pod) && is_made_for(pod, claim))
    })
}

fn is_made_for(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    controller_of(&claim.metadata).is_some_and(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref())
}

/// Its kubelet is done with it, or it was deleted by force: what holds it now may wait for its claims.
fn is_shut_down(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// Whether a pod as it is now may set a claim free.
pub(super) fn may_free(pod: &Pod) -> bool {
    node_name(pod).is_empty() || is_terminal(pod) || is_shut_down(pod)
}
