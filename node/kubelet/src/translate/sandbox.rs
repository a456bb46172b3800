//! The configuration of a pod's sandbox.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use oarlock_cri::v1::{
    Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata,
    PortMapping, Protocol, SupplementalGroupsPolicy,
};

use super::dns::dns_config;
use super::hosts::hostname_of;
use super::resources::pod_resources;
use super::security::{apparmor_profile, namespace_options, seccomp_profile, selinux};
use crate::context::Context;
use crate::observed::{LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};
use crate::pod::{CONFIG_SOURCE, PodExt as _};

pub(crate) fn sandbox_config(ctx: &Context, pod: &Pod, attempt: u32) -> PodSandboxConfig {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(pod_labels(pod));
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    annotations.entry(CONFIG_SOURCE.into()).or_insert_with(|| "api".into());
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.name().into(),
            uid: pod.uid_str().into(),
            namespace: pod.namespace().into(),
            attempt,
        }),
        hostname: if pod.host_network() {
            String::new()
        } else {
            hostname_of(pod, &ctx.config.cluster_domain).0
        },
        log_directory: ctx.log_dir(pod).display().to_string(),
        dns_config: Some(dns_config(ctx, pod)),
        port_mappings: port_mappings(pod),
        labels,
        annotations,
        linux: Some(linux(ctx, pod)),
        windows: None,
    }
}

/// The labels by which the kubelet finds what belongs to a pod.
pub(super) fn pod_labels(pod: &Pod) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_POD_NAME.into(), pod.name().into()),
        (LABEL_POD_NAMESPACE.into(), pod.namespace().into()),
        (LABEL_POD_UID.into(), pod.uid_str().into()),
    ])
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    if pod.host_network() {
        return Vec::new();
    }
    let sidecars = pod.init_containers().iter().filter(|c| crate::pod::is_sidecar(c));
    let ports = sidecars.chain(&pod.spec().containers).flat_map(|c| c.ports.iter().flatten());
    let mapping = |port: &k8s_openapi::api::core::v1::ContainerPort| PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        }
        .into(),
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    };
    ports.map(mapping).collect()
}

fn linux(ctx: &Context, pod: &Pod) -> LinuxPodSandboxConfig {
    let spec = pod.spec();
    let security = spec.security_context.clone().unwrap_or_default();
    let sysctls = security.sysctls.iter().flatten().map(|s| (s.name.clone(), s.value.clone())).collect();
    let privileged = pod
        .all_containers()
        .iter()
        .any(|(_, c)| c.security_context.as_ref().is_some_and(|s| s.privileged == Some(true)));
    let int = |value: Option<i64>| value.map(|value| Int64Value { value });
    let mut groups = security.supplemental_groups.clone().unwrap_or_default();
    groups.extend(security.fs_group);
    LinuxPodSandboxConfig {
        cgroup_parent: ctx.cgroups.as_ref().map(|cgroups| cgroups.parent(pod)).unwrap_or_default(),
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(namespace_options(pod, None)),
            selinux_options: security.se_linux_options.as_ref().map(selinux),
            run_as_user: int(security.run_as_user),
            run_as_group: int(security.run_as_group.filter(|_| security.run_as_user.is_some())),
            readonly_rootfs: false,
            supplemental_groups: groups,
            supplemental_groups_policy: groups_policy(security.supplemental_groups_policy.as_deref()).into(),
            privileged,
            seccomp: Some(seccomp_profile(pod, None)),
            apparmor: apparmor_profile(pod, None),
            ..Default::default()
        }),
        sysctls,
        overhead: None,
        resources: Some(pod_resources(pod)),
    }
}

pub(super) fn groups_policy(text: Option<&str>) -> SupplementalGroupsPolicy {
    match text {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}
