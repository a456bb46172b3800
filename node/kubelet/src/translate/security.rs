//! Users, capabilities, namespaces and profiles.

use k8s_openapi::api::core::v1::{Container, Pod, SELinuxOptions};
use oarlock_cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, ProfileType,
    SeLinuxOption, SecurityProfile,
};

use super::sandbox::groups_policy;
use crate::pod::PodExt as _;

/// `/proc` paths that a container shall not see, as upstream's default.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/interrupts",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Which namespaces are shared; `target` is the container whose processes an ephemeral container sees.
pub(super) fn namespace_options(pod: &Pod, target: Option<&str>) -> NamespaceOption {
    let spec = pod.spec();
    let host =
        |wanted: Option<bool>| if wanted == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace, target) {
        (Some(true), ..) => NamespaceMode::Node,
        (_, Some(true), _) => NamespaceMode::Pod,
        (.., Some(_)) => NamespaceMode::Target,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: host(spec.host_network).into(),
        pid: pid.into(),
        ipc: host(spec.host_ipc).into(),
        target_id: if pid == NamespaceMode::Target {
            target.unwrap_or_default().into()
        } else {
            String::new()
        },
        userns_options: None,
    }
}

pub(super) fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn profile(kind: &str, localhost: Option<String>) -> SecurityProfile {
    let profile_type = match kind {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => ProfileType::Localhost,
        _ => ProfileType::Unconfined,
    };
    SecurityProfile { profile_type: profile_type.into(), localhost_ref: localhost.unwrap_or_default() }
}

/// The container's seccomp profile, else the pod's, else none.
pub(super) fn seccomp_profile(pod: &Pod, container: Option<&Container>) -> SecurityProfile {
    let own = container.and_then(|c| c.security_context.as_ref()?.seccomp_profile.clone());
    let shared = || pod.spec().security_context.as_ref()?.seccomp_profile.clone();
    match own.or_else(shared) {
        Some(wanted) => profile(&wanted.type_, wanted.localhost_profile),
        None => profile("Unconfined", None),
    }
}

/// The AppArmor profile, where one is asked for: the runtime's default otherwise.
pub(super) fn apparmor_profile(pod: &Pod, container: Option<&Container>) -> Option<SecurityProfile> {
    let own = container.and_then(|c| c.security_context.as_ref()?.app_armor_profile.clone());
    let shared = || pod.spec().security_context.as_ref()?.app_armor_profile.clone();
    own.or_else(shared).map(|wanted| profile(&wanted.type_, wanted.localhost_profile))
}

pub(super) fn container_security(
    pod: &Pod,
    container: &Container,
    target: Option<&str>,
) -> LinuxContainerSecurityContext {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod.spec().security_context.clone().unwrap_or_default();
    let privileged = own.privileged == Some(true);
    let int = |value: Option<i64>| value.map(|value| Int64Value { value });
    let mut groups = shared.supplemental_groups.clone().unwrap_or_default();
    groups.extend(shared.fs_group);
    let unmasked = privileged || own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |paths: &[&str]| -> Vec<String> {
        if unmasked { Vec::new() } else { paths.iter().map(|&path| path.to_owned()).collect() }
    };
    LinuxContainerSecurityContext {
        capabilities: own.capabilities.map(|wanted| Capability {
            add_capabilities: wanted.add.unwrap_or_default(),
            drop_capabilities: wanted.drop.unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged,
        namespace_options: Some(namespace_options(pod, target)),
        selinux_options: own.se_linux_options.or(shared.se_linux_options).as_ref().map(selinux),
        run_as_user: int(own.run_as_user.or(shared.run_as_user)),
        run_as_group: int(own.run_as_group.or(shared.run_as_group)),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups,
        supplemental_groups_policy: groups_policy(shared.supplemental_groups_policy.as_deref()).into(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(if privileged {
            profile("Unconfined", None)
        } else {
            seccomp_profile(pod, Some(container))
        }),
        apparmor: apparmor_profile(pod, Some(container)),
        ..Default::default()
    }
}

/// Why `runAsNonRoot` forbids this container, as far as its specification and its image's user tell.
pub(super) fn root_refused(
    pod: &Pod,
    container: &Container,
    image_uid: Option<i64>,
    image_user: &str,
) -> Option<String> {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod.spec().security_context.clone().unwrap_or_default();
    if own.run_as_non_root.or(shared.run_as_non_root) != Some(true) {
        return None;
    }
    let about = format!("(pod: \"{}\", container: {})", pod.display(), container.name);
    match own.run_as_user.or(shared.run_as_user) {
        Some(0) => return Some(format!("container's runAsUser breaks non-root policy {about}")),
        Some(_) => return None,
        None => {}
    }
    match image_uid {
        Some(0) => Some(format!("container has runAsNonRoot and image will run as root {about}")),
        None if !image_user.is_empty() => Some(format!(
            "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {about}"
        )),
        _ => None,
    }
}
