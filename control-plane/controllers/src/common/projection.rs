//! What the controllers' caches leave out. Thinned objects are never written back; controllers patch them, or build
//! what they write from the live object.

use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;

/// Keeps of a pod: metadata; where it is and may stay; ports by name; its phase, conditions, addresses, restarts.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations
            .retain(|key, _| key.starts_with("controller.kubernetes.io/") || key.starts_with("endpoints."));
    }
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
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
