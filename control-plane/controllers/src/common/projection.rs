//! What the controllers' caches leave out. Thinned objects are never written back; controllers patch them, or build
//! what they write from the live object.

use k8s_openapi::api::core::v1::{
    Container, Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimStatus, PersistentVolumeSpec, PersistentVolumeStatus, Pod, Volume,
};
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;

/// Keeps of a pod: metadata; where it is and may stay; ports by name; volumes that are claims; its phase, conditions,
/// addresses, restarts.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations
            .retain(|key, _| key.starts_with("controller.kubernetes.io/") || key.starts_with("endpoints."));
    }
    if let Some(spec) = &mut pod.spec {
        spec.volumes.iter_mut().for_each(claims);
        spec.affinity = None;
        spec.topology_spread_constraints = None;
        spec.image_pull_secrets = None;
        spec.dns_config = None;
        spec.security_context = None;
        spec.node_selector = None;
        spec.ephemeral_containers = None;
        spec.host_aliases = None;
        spec.containers.iter_mut().for_each(container);
        spec.init_containers.iter_mut().flatten().for_each(container);
    }
    if let Some(status) = &mut pod.status {
        status.ephemeral_container_statuses = None;
        for list in [&mut status.container_statuses, &mut status.init_container_statuses] {
            for container in list.iter_mut().flatten() {
                container.last_state = None;
                container.state = None;
                container.volume_mounts = None;
                container.resources = None;
                container.allocated_resources = None;
                container.image.clear();
                container.image_id.clear();
                container.container_id = None;
            }
        }
    }
}

/// Keeps of volumes which claims they are.
fn claims(volumes: &mut Vec<Volume>) {
    volumes.retain_mut(|volume| {
        if let Some(ephemeral) = &mut volume.ephemeral {
            ephemeral.volume_claim_template = None;
        }
        volume.ephemeral.is_some() || volume.persistent_volume_claim.is_some()
    });
    volumes.shrink_to_fit();
}

/// Keeps of a claim: metadata without annotations, and the classes of attributes that it names.
pub(crate) fn claim(claim: &mut PersistentVolumeClaim) {
    claim.metadata.annotations = None;
    if let Some(spec) = &mut claim.spec {
        let volume_attributes_class_name = spec.volume_attributes_class_name.take();
        *spec = PersistentVolumeClaimSpec { volume_attributes_class_name, ..Default::default() };
    }
    if let Some(status) = &mut claim.status {
        *status = PersistentVolumeClaimStatus {
            current_volume_attributes_class_name: status.current_volume_attributes_class_name.take(),
            modify_volume_status: status.modify_volume_status.take(),
            ..Default::default()
        };
    }
}

/// Keeps of a volume: metadata without annotations, its class of attributes, and its phase.
pub(crate) fn volume(volume: &mut PersistentVolume) {
    volume.metadata.annotations = None;
    if let Some(spec) = &mut volume.spec {
        let volume_attributes_class_name = spec.volume_attributes_class_name.take();
        *spec = PersistentVolumeSpec { volume_attributes_class_name, ..Default::default() };
    }
    if let Some(status) = &mut volume.status {
        *status = PersistentVolumeStatus { phase: status.phase.take(), ..Default::default() };
    }
}

fn container(container: &mut Container) {
    *container = Container {
        name: std::mem::take(&mut container.name),
        ports: container.ports.take(),
        restart_policy: container.restart_policy.take(),
        ..Container::default()
    };
}

pub(crate) fn node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

/// Keeps of an object who it is, who owns it, and whether it goes.
pub(crate) fn meta(object: &mut PartialObjectMeta<DynamicObject>) {
    let meta = &mut object.metadata;
    object.types = None;
    meta.labels = None;
    meta.annotations = None;
    meta.generate_name = None;
    meta.self_link = None;
    meta.creation_timestamp = None;
}
