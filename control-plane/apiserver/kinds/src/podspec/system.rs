//! What depends on the operating system and on the namespaces of the node.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::{containers, shares};
use crate::check;
use crate::value::{is_true, text};

const WINDOWS_WORDS: &str = "cannot be set for a windows pod";
const LINUX_WORDS: &str = "windows options cannot be set for a linux pod";
const RUN_AS_MAX: usize = 256 + 20;
const CREDENTIAL_SPEC_MAX: usize = 64 * 1024;
/// What a pod of Windows knows not; of the spec's own fields and of the pod's security context.
const NOT_ON_WINDOWS: [&str; 4] = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"];
const NOT_IN_WINDOWS_POD: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const NOT_IN_WINDOWS_CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(super) fn operating_system(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let os = &spec["os"];
    if os.is_null() {
        return;
    }
    match text(&os["name"]) {
        "" => errors.push(FieldError::required(path.child("os").child("name"), "")),
        "linux" => linux(spec, path, errors),
        "windows" => windows(spec, path, errors),
        other => errors.push(FieldError::not_supported(path.child("os"), other, &["linux", "windows"])),
    }
}

fn linux(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut refuse = |context: &Value, at: Path| {
        if !context["windowsOptions"].is_null() {
            errors.push(FieldError::forbidden(at.child("windowsOptions"), LINUX_WORDS));
        }
    };
    refuse(&spec["securityContext"], path.child("securityContext"));
    for (list, index, container) in containers(spec) {
        refuse(&container["securityContext"], path.child(list).index(index).child("securityContext"));
    }
}

fn windows(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut refuse = |holder: &Value, fields: &[&str], at: &Path| {
        for field in fields.iter().filter(|field| !matches!(holder[**field], Value::Null)) {
            errors.push(FieldError::forbidden(at.child(field), WINDOWS_WORDS));
        }
    };
    let at = path.child("securityContext");
    refuse(&spec["securityContext"], &NOT_IN_WINDOWS_POD, &at);
    refuse(spec, &NOT_ON_WINDOWS, path);
    for (list, index, container) in containers(spec) {
        let at = path.child(list).index(index).child("securityContext");
        refuse(&container["securityContext"], &NOT_IN_WINDOWS_CONTAINER, &at);
    }
}

/// Who runs, on Windows.
pub(super) fn windows_options(options: &Value, path: &Path, errors: &mut FieldErrors) {
    if !options.is_object() {
        return;
    }
    let spec = &options["gmsaCredentialSpec"];
    if spec.as_str().is_some_and(str::is_empty) {
        let words = "gmsaCredentialSpec cannot be an empty string";
        errors.push(FieldError::invalid(path.child("gmsaCredentialSpec"), "", words));
    } else if text(spec).len() > CREDENTIAL_SPEC_MAX {
        let words = format!("gmsaCredentialSpec size must be under {} KiB", CREDENTIAL_SPEC_MAX / 1024);
        errors.push(FieldError::invalid(path.child("gmsaCredentialSpec"), spec.clone(), words));
    }
    check::optional(
        &options["gmsaCredentialSpecName"],
        crate::names::subdomain,
        &path.child("gmsaCredentialSpecName"),
        errors,
    );
    let (user, at) = (&options["runAsUserName"], path.child("runAsUserName"));
    let Some(given) = user.as_str() else { return };
    let (domain, name) = given.split_once('\\').map_or(("", given), |(domain, name)| (domain, name));
    let words = if given.is_empty() {
        "runAsUserName cannot be an empty string"
    } else if given.chars().any(char::is_control) {
        "runAsUserName cannot contain control characters"
    } else if given.contains('\\') && name.contains('\\') {
        "runAsUserName cannot contain more than one backslash"
    } else if given.contains('\\') && domain.is_empty() {
        "runAsUserName's Domain doesn't match the NetBIOS nor the DNS format"
    } else if name.is_empty() {
        "runAsUserName's User cannot be empty"
    } else if given.len() > RUN_AS_MAX {
        "runAsUserName's Domain length must be under 256 characters"
    } else {
        return;
    };
    errors.push(FieldError::invalid(at, given, words));
}

/// A pod of Windows runs in the host with all its containers or with none.
pub(super) fn host_processes(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let in_host = |context: &Value| context["windowsOptions"]["hostProcess"].as_bool();
    let of_pod = in_host(&spec["securityContext"]);
    let (mut all, mut hosted) = (0, 0);
    for (list, index, container) in containers(spec) {
        let own = in_host(&container["securityContext"]);
        all += 1;
        hosted += usize::from(own.or(of_pod) == Some(true));
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && own != of_pod
        {
            let at = path.child(list).index(index).child("securityContext").child("windowsOptions");
            let words =
                format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.push(FieldError::invalid(at.child("hostProcess"), own, words));
        }
    }
    if hosted == 0 {
        return;
    }
    if hosted != all {
        let words =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path.clone(), "", words));
    }
    if !shares(spec, "hostNetwork") {
        let words = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(path.child("hostNetwork"), false, words));
    }
}

/// Users of its own go with none of the host's namespaces. (KEP-127)
pub(super) fn host_users(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    if spec["hostUsers"] != false {
        return;
    }
    for (field, told) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if is_true(&spec[field]) {
            let words = "when `pod.Spec.HostUsers` is false";
            errors.push(FieldError::forbidden(path.child(told), words));
        }
    }
}

/// The annotations that said it before there were fields.
pub(super) fn apparmor_annotations(template: &Value, path: &Path, errors: &mut FieldErrors) {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    for (key, value) in crate::value::entries(&template["metadata"]["annotations"]) {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if !containers(&template["spec"]).any(|(_, _, container)| container["name"] == name) {
            errors.push(FieldError::invalid(path.key(key), name, "container not found"));
        }
        let profile = text(value);
        if !(matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/")) {
            let words = format!("invalid AppArmor profile name: {profile:?}");
            errors.push(FieldError::invalid(path.key(key), profile, words));
        }
    }
}
