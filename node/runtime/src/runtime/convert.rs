//! Records in CRI's words.

use std::collections::BTreeMap;

use oarlock_cri::v1;

use super::record::{Container, Pod, namespace_options};
use crate::images::Image;

pub(super) fn pod_state(pod: &Pod) -> v1::PodSandboxState {
    if pod.status().ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready }
}

pub(super) fn pod(pod: &Pod) -> v1::PodSandbox {
    let config = pod.config();
    v1::PodSandbox {
        id: pod.record.id.clone(),
        metadata: config.metadata.clone(),
        state: pod_state(pod) as i32,
        created_at: pod.record.created_at,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        runtime_handler: pod.record.runtime_handler.clone(),
    }
}

pub(super) fn pod_status(pod: &Pod) -> v1::PodSandboxStatus {
    let config = pod.config();
    let ips = pod.status().attachment.map(|attachment| attachment.addresses()).unwrap_or_default();
    let mut ips = ips.into_iter();
    let network = v1::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
    };
    let namespaces = v1::Namespace { options: Some(namespace_options(config)) };
    v1::PodSandboxStatus {
        id: pod.record.id.clone(),
        metadata: config.metadata.clone(),
        state: pod_state(pod) as i32,
        created_at: pod.record.created_at,
        network: Some(network),
        linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(namespaces) }),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        runtime_handler: pod.record.runtime_handler.clone(),
    }
}

pub(super) fn container(container: &Container) -> v1::Container {
    let config = container.config();
    v1::Container {
        id: container.record.id.clone(),
        pod_sandbox_id: container.record.pod.clone(),
        metadata: config.metadata.clone(),
        image: config.image.clone(),
        image_ref: container.record.image_ref.clone(),
        state: container.status().phase.state() as i32,
        created_at: container.record.created_at,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        image_id: container.record.image_id.clone(),
    }
}

pub(super) fn container_status(container: &Container) -> v1::ContainerStatus {
    let (config, record, status) = (container.config(), &container.record, container.status());
    let log_path = record.log_path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let user = v1::LinuxContainerUser {
        uid: record.uid.into(),
        gid: record.gid.into(),
        supplemental_groups: record.groups.iter().map(|gid| i64::from(*gid)).collect(),
    };
    v1::ContainerStatus {
        id: record.id.clone(),
        metadata: config.metadata.clone(),
        state: status.phase.state() as i32,
        created_at: record.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        image: config.image.clone(),
        image_ref: record.image_ref.clone(),
        reason: status.reason,
        message: status.message,
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        mounts: config.mounts.clone(),
        log_path: log_path.unwrap_or_default(),
        resources: Some(v1::ContainerResources { linux: status.resources.map(|kept| kept.0), windows: None }),
        image_id: record.image_id.clone(),
        user: Some(v1::ContainerUser { linux: Some(user) }),
        stop_signal: stop_signal(record.stop_signal),
    }
}

/// CRI numbers signals by their place in its list of names.
fn stop_signal(number: i32) -> i32 {
    let named = (1..=65).find(|at| {
        v1::Signal::try_from(*at)
            .is_ok_and(|signal| super::signal::number(signal.as_str_name()) == Some(number))
    });
    named.unwrap_or_default()
}

pub(super) fn image(image: &Image) -> v1::Image {
    // A number is a user id; anything else is a name. The group does not matter here.
    let user = image.config.user.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { None } else { user.parse().ok() };
    v1::Image {
        id: image.id.clone(),
        repo_tags: image.tags.iter().cloned().collect(),
        repo_digests: image.digests.iter().cloned().collect(),
        size: image.size,
        username: if uid.is_none() { user.to_string() } else { String::new() },
        uid: uid.map(|value| v1::Int64Value { value }),
        spec: Some(v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() }),
        pinned: image.pinned,
    }
}

/// Whether `labels` has all that `selector` asks.
pub(super) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
