//! What no workload needs that does not manage its node.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Finding, Pod, Told, containers, finding, plural, quoted, setters};
use crate::value::{at, items, text, texts};

pub(super) const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn app_armor(pod: Pod<'_>) -> Option<Finding> {
    let told = Told::of(pod, &["appArmorProfile", "type"]);
    let fields = told.bad(|profile| matches!(profile, "RuntimeDefault" | "Localhost"));
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let bad: Vec<(&str, &str)> = annotations
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .filter(|(key, value)| {
            let allowed = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
            key.starts_with(APP_ARMOR_ANNOTATION) && !allowed
        })
        .collect();
    let mut values: BTreeSet<&str> = bad.iter().map(|(_, value)| *value).collect();
    let mut who = Vec::new();
    if let Some((setters, told)) = fields {
        who.push(setters);
        values.extend(told);
    }
    if !bad.is_empty() {
        let keys = bad.iter().map(|(key, _)| *key);
        who.push(format!("{} {}", plural("annotation", "annotations", bad.len()), quoted(keys)));
    }
    (!who.is_empty()).then(|| {
        let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
        finding(
            reason,
            format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)),
        )
    })
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities of a container that are not among the allowed.
pub(super) fn added_beyond(container: &Value, allowed: &[&str]) -> Vec<String> {
    let added = texts(container, &["securityContext", "capabilities", "add"]);
    added.into_iter().filter(|capability| !allowed.contains(&capability.as_str())).collect()
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Finding> {
    let names = pod.named(|container| !added_beyond(container, &CAPABILITIES).is_empty());
    let bad: BTreeSet<String> = pod.containers().flat_map(|c| added_beyond(c, &CAPABILITIES)).collect();
    (!names.is_empty()).then(|| {
        let (who, what) = (containers(&names), quoted(bad));
        finding(
            "non-default capabilities",
            format!("{who} must not include {what} in securityContext.capabilities.add"),
        )
    })
}

pub(super) fn host_namespaces(pod: Pod<'_>) -> Option<Finding> {
    let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| at(pod.spec, &[field]).and_then(Value::as_bool) == Some(true))
        .map(|field| format!("{field}=true"))
        .collect();
    (!set.is_empty()).then(|| finding("host namespaces", set.join(", ")))
}

pub(super) fn host_path(pod: Pod<'_>) -> Option<Finding> {
    let volumes = items(pod.spec, &["volumes"]).iter().filter(|v| v["hostPath"].is_object());
    let names: Vec<&str> = volumes.map(|v| text(v, &["name"])).collect();
    (!names.is_empty()).then(|| {
        let detail = format!("{} {}", plural("volume", "volumes", names.len()), quoted(names));
        finding("hostPath volumes", detail)
    })
}

pub(super) fn host_ports(pod: Pod<'_>) -> Option<Finding> {
    let ports = |c: &Value| -> Vec<String> {
        let ports = items(c, &["ports"]).iter().filter_map(|port| port["hostPort"].as_i64());
        ports.filter(|port| *port != 0).map(|port| port.to_string()).collect()
    };
    let names = pod.named(|c| !ports(c).is_empty());
    let all: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    (!names.is_empty()).then(|| {
        let use_or_uses = plural("uses", "use", names.len());
        let what = plural("hostPort", "hostPorts", all.len());
        let list = all.into_iter().collect::<Vec<_>>().join(", ");
        finding("hostPort", format!("{} {use_or_uses} {what} {list}", containers(&names)))
    })
}

/// A probe or a hook that the node would send somewhere else.
pub(super) fn host_probes(pod: Pod<'_>) -> Option<Finding> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let hosts = |c: &Value| -> Vec<String> {
        let handlers = HANDLERS.iter().filter_map(|path| at(c, path));
        let hosts = handlers.flat_map(|h| [text(h, &["httpGet", "host"]), text(h, &["tcpSocket", "host"])]);
        hosts.filter(|host| !host.is_empty()).map(str::to_string).collect()
    };
    let names: BTreeSet<&str> = pod.named(|c| !hosts(c).is_empty()).into_iter().collect();
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    (!names.is_empty()).then(|| {
        let use_or_uses = plural("uses", "use", names.len());
        let what = plural("probe or lifecycle host", "probe or lifecycle hosts", all.len());
        let names: Vec<&str> = names.into_iter().collect();
        finding(
            "probe or lifecycle host",
            format!("{} {use_or_uses} {what} {}", containers(&names), quoted(all)),
        )
    })
}

pub(super) fn privileged(pod: Pod<'_>) -> Option<Finding> {
    let names = pod.named(|c| c["securityContext"]["privileged"] == true);
    (!names.is_empty()).then(|| {
        finding("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
    })
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Finding> {
    if pod.in_user_namespace() { None } else { super::proc_mount(pod) }
}

pub(super) fn selinux(pod: Pod<'_>) -> Option<Finding> {
    let options = |context: Option<&Value>| {
        let options = context.map(|c| &c["seLinuxOptions"]).cloned().unwrap_or_default();
        let field = |name: &str| text(&options, &[name]).to_string();
        (field("type"), field("user"), field("role"))
    };
    let allowed = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && pod.version.reaches(31))
    };
    let is_bad = |(kind, user, role): &(String, String, String)| {
        !allowed(kind) || !user.is_empty() || !role.is_empty()
    };
    let of_pod = options(pod.security());
    let names = pod.named(|c| is_bad(&options(c.get("securityContext"))));
    if !is_bad(&of_pod) && names.is_empty() {
        return None;
    }
    let who = setters(is_bad(&of_pod), &names);
    let mut all: Vec<_> = pod.containers().map(|c| options(c.get("securityContext"))).collect();
    all.push(of_pod);
    let types: BTreeSet<&str> = all.iter().map(|(kind, ..)| kind.as_str()).filter(|k| !allowed(k)).collect();
    let mut bad = Vec::new();
    if !types.is_empty() {
        bad.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    if all.iter().any(|(_, user, _)| !user.is_empty()) {
        bad.push("user may not be set".into());
    }
    if all.iter().any(|(.., role)| !role.is_empty()) {
        bad.push("role may not be set".into());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "));
    Some(finding("seLinuxOptions", detail))
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Finding> {
    if !pod.version.reaches(19) {
        return seccomp_annotations(pod);
    }
    let told = Told::of(pod, &["seccompProfile", "type"]);
    told.bad(|profile| matches!(profile, "RuntimeDefault" | "Localhost")).map(|(who, values)| {
        let what = quoted(values);
        finding("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {what}"))
    })
}

/// Before the field there were annotations.
fn seccomp_annotations(pod: Pod<'_>) -> Option<Finding> {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let annotation = |key: &str| pod.metadata["annotations"].get(key).and_then(Value::as_str);
    let bad = |value: &str| {
        let allowed =
            matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
        !allowed
    };
    let keys = pod.containers().map(|c| format!("{CONTAINER}{}", text(c, &["name"])));
    let found: Vec<String> = std::iter::once(POD.to_string())
        .chain(keys)
        .filter_map(|key| annotation(&key).filter(|v| bad(v)).map(|value| format!("{key}={value:?}")))
        .collect();
    (!found.is_empty()).then(|| {
        finding(
            "seccompProfile",
            format!("forbidden {} {}", plural("annotation", "annotations", found.len()), found.join(", ")),
        )
    })
}

/// With the version that each became safe in.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

pub(super) fn sysctls(pod: Pod<'_>) -> Option<Finding> {
    let safe =
        |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && pod.version.reaches(*since));
    let names = items(pod.spec, &["securityContext", "sysctls"]).iter().map(|s| text(s, &["name"]));
    let bad: Vec<&str> = names.filter(|name| !safe(name)).collect();
    (!bad.is_empty()).then(|| finding("forbidden sysctls", bad.join(", ")))
}

pub(super) fn windows_host_process(pod: Pod<'_>) -> Option<Finding> {
    let set = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let names = pod.named(|c| set(&c["securityContext"]));
    let of_pod = pod.security().is_some_and(set);
    (of_pod || !names.is_empty()).then(|| {
        let who = setters(of_pod, &names);
        finding("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
    })
}
