//! Security contexts of pods and containers.

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use super::{shares, system};
use crate::check;
use crate::check::Seen;
use crate::value::{is_true, items, text, texts};

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const SYSCTL_MAX: usize = 253;
const APPARMOR_MAX: usize = 4095;
/// Kernel parameters that belong to the namespace of messages; those of the network begin with `net.`.
const IPC_SYSCTLS: [&str; 5] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "kernel.shm_"];

fn id(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some(id) = value.as_i64().filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        errors.push(FieldError::invalid(path.clone(), id, "must be between 0 and 2147483647, inclusive"));
    }
}

pub(super) fn pod(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (context, path) = (&spec["securityContext"], path.child("securityContext"));
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&context[field], &path.child(field), errors);
    }
    for (index, group) in items(&context["supplementalGroups"]).iter().enumerate() {
        id(group, &path.child("supplementalGroups").index(index), errors);
    }
    if is_true(&spec["shareProcessNamespace"]) && shares(spec, "hostPID") {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, words));
    }
    if !context.is_object() {
        return;
    }
    sysctls(spec, &path.child("sysctls"), errors);
    for (field, supported) in [
        ("fsGroupChangePolicy", &["Always", "OnRootMismatch"][..]),
        ("supplementalGroupsPolicy", &["Merge", "Strict"]),
        ("seLinuxChangePolicy", &["Recursive"]),
    ] {
        check::given_one_of(&context[field], supported, &path.child(field), errors);
    }
    profiles(context, &path, errors);
    system::windows_options(&context["windowsOptions"], &path.child("windowsOptions"), errors);
}

/// Segments of small letters, digits, `-` and `_`, between dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= SYSCTL_MAX
        && name.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            bytes.first().is_some_and(|b| plain(*b))
                && bytes.last().is_some_and(|b| plain(*b))
                && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
        })
}

fn sysctls(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::new();
    for (index, sysctl) in items(&spec["securityContext"]["sysctls"]).iter().enumerate() {
        let (at, name) = (path.index(index).child("name"), text(&sysctl["name"]));
        if name.is_empty() {
            errors.push(FieldError::required(at.clone(), ""));
        } else if !is_sysctl(name) {
            let words = format!("must have at most {SYSCTL_MAX} characters and match regex ^{SYSCTL}$");
            errors.push(FieldError::invalid(at.clone(), name, words));
        } else {
            seen.add(name, &at, errors);
        }
        let dotted = name.replace('/', ".");
        for (field, namespaced) in [
            ("hostNetwork", dotted.starts_with("net.")),
            ("hostIPC", IPC_SYSCTLS.iter().any(|prefix| dotted.starts_with(prefix))),
        ] {
            if namespaced && shares(spec, field) {
                let words = format!("may not be specified when '{field}' is true");
                errors.push(FieldError::invalid(at.clone(), name, words));
            }
        }
    }
}

fn profiles(context: &Value, path: &Path, errors: &mut FieldErrors) {
    if context["seccompProfile"].is_object() {
        seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    }
    if context["appArmorProfile"].is_object() {
        apparmor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
    }
}

fn profile_type(profile: &Value, words: &str, path: &Path, errors: &mut FieldErrors) {
    let (given, at) = (text(&profile["type"]), path.child("type"));
    if given.is_empty() {
        errors.push(FieldError::required(at, words));
    } else if !PROFILES.contains(&given) {
        errors.push(FieldError::not_supported(at, given, &PROFILES));
    }
}

fn seccomp(profile: &Value, path: &Path, errors: &mut FieldErrors) {
    profile_type(profile, "type is required when seccompProfile is set", path, errors);
    let (local, at) = (&profile["localhostProfile"], path.child("localhostProfile"));
    match (profile["type"] == "Localhost", local.as_str()) {
        (true, None) => errors.push(FieldError::required(at, "must be set when seccomp type is Localhost")),
        (true, Some(local)) => super::inner_path(local, &at, errors),
        (false, Some(local)) => {
            let told = dump::object("io.k8s.api.core.v1.SeccompProfile", profile);
            let words = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(at, local, words).told_as(&told));
        }
        (false, None) => {}
    }
}

fn apparmor(profile: &Value, path: &Path, errors: &mut FieldErrors) {
    profile_type(profile, "type is required when appArmorProfile is set", path, errors);
    let (local, at) = (&profile["localhostProfile"], path.child("localhostProfile"));
    match (text(&profile["type"]), local.as_str()) {
        ("Localhost", Some(local)) if !local.trim().is_empty() => {
            if local.trim() != local {
                errors.push(FieldError::invalid(at, local, "must not be padded with whitespace"));
            } else if local.len() > APPARMOR_MAX {
                errors.push(FieldError::too_long(at, APPARMOR_MAX));
            }
        }
        ("Localhost", _) => {
            errors.push(FieldError::required(at, "must be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            errors.push(FieldError::invalid(at, local, "can only be set when AppArmor type is Localhost"));
        }
        _ => {}
    }
}

pub(super) fn container(context: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    if !context.is_object() {
        return;
    }
    for field in ["runAsUser", "runAsGroup"] {
        id(&context[field], &path.child(field), errors);
    }
    let mount = path.child("procMount");
    check::given_one_of(&context["procMount"], &["Default", "Unmasked"], &mount, errors);
    if context["procMount"] == "Unmasked" && spec["hostUsers"] != false {
        errors.push(FieldError::invalid(mount, "Unmasked", "`hostUsers` must be false to use `Unmasked`"));
    }
    profiles(context, path, errors);
    if context["allowPrivilegeEscalation"] == false {
        let refuse = |words: &str| FieldError::invalid(path.clone(), context.clone(), words);
        if is_true(&context["privileged"]) {
            errors.push(refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
        }
        if texts(&context["capabilities"]["add"]).any(|c| c == "CAP_SYS_ADMIN") {
            errors.push(refuse(
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
    system::windows_options(&context["windowsOptions"], &path.child("windowsOptions"), errors);
}

#[cfg(test)]
mod tests {
    use super::is_sysctl;

    #[test]
    fn kernel_parameters_have_names() {
        for good in ["net.ipv4.ip_local_port_range", "net/ipv4/conf/eth0.100/forwarding", "a", "a-b.c_d"] {
            assert!(is_sysctl(good), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "A", "_a", "a-", "a b"] {
            assert!(!is_sysctl(bad), "{bad}");
        }
    }
}
