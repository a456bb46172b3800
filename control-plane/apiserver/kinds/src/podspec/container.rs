//! Containers of all three lists.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::{Volumes, env, handler, resources, security};
use crate::check::Seen;
use crate::value::{int, is_true, items, text};
use crate::{check, names};

pub(crate) const EPHEMERAL: &str = "ephemeralContainers";
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
/// What only long-running containers have.
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

pub(super) fn all(spec: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    if items(&spec["containers"]).is_empty() {
        errors.push(FieldError::required(path.child("containers"), ""));
    }
    let mut seen = Seen::new();
    let mut host_ports = HashSet::new();
    for list in ["containers", "initContainers", EPHEMERAL] {
        for (index, container) in items(&spec[list]).iter().enumerate() {
            let path = path.child(list).index(index);
            common(container, volumes, &path, errors);
            seen.add(text(&container["name"]), &path.child("name"), errors);
            match list {
                "initContainers" => init(container, &path, errors),
                EPHEMERAL => ephemeral(container, &path, errors),
                _ => running(container, &path, errors),
            }
            if list == "containers" {
                used_host_ports(container, &mut host_ports, &path, errors);
            }
            if is_true(&spec["hostNetwork"]) && list != EPHEMERAL {
                own_network_ports(container, &path, errors);
            }
        }
    }
}

fn common(container: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    check::named(&container["name"], names::dns_label, &path.child("name"), errors);
    let image = text(&container["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(path.child("image"), ""));
    } else if image.trim() != image {
        let words = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(path.child("image"), image, words));
    }
    let policy = path.child("terminationMessagePolicy");
    check::must_be_one_of(&container["terminationMessagePolicy"], &MESSAGE_POLICIES, &policy, errors);
    ports(&container["ports"], &path.child("ports"), errors);
    env::all(container, path, errors);
    mounts(container, volumes, path, errors);
    check::must_be_one_of(
        &container["imagePullPolicy"],
        &PULL_POLICIES,
        &path.child("imagePullPolicy"),
        errors,
    );
    check::one_of(&container["restartPolicy"], &RESTART_POLICIES, &path.child("restartPolicy"), errors);
    resources::requirements(&container["resources"], &path.child("resources"), errors);
    security::container(&container["securityContext"], &path.child("securityContext"), errors);
}

fn running(container: &Value, path: &Path, errors: &mut FieldErrors) {
    handler::lifecycle(&container["lifecycle"], &path.child("lifecycle"), errors);
    for probe in PROBES {
        handler::probe(&container[probe], probe, &path.child(probe), errors);
    }
}

fn init(container: &Value, path: &Path, errors: &mut FieldErrors) {
    if container["restartPolicy"] == "Always" {
        return running(container, path, errors);
    }
    for field in ["lifecycle"].iter().chain(&PROBES).filter(|field| !container[**field].is_null()) {
        let words = "may not be set for init containers without restartPolicy=Always";
        errors.push(FieldError::forbidden(path.child(field), words));
    }
}

fn ephemeral(container: &Value, path: &Path, errors: &mut FieldErrors) {
    let refused = ["ports", "lifecycle", "resources", "resizePolicy"].iter().chain(&PROBES);
    let given = |value: &Value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    for field in refused.filter(|field| given(&container[**field])) {
        errors.push(FieldError::forbidden(path.child(field), "cannot be set for an Ephemeral Container"));
    }
}

fn ports(ports: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::new();
    for (index, port) in items(ports).iter().enumerate() {
        let path = path.index(index);
        let name = text(&port["name"]);
        if !name.is_empty() {
            let faults = names::port_name(name);
            if faults.is_empty() {
                seen.add(name, &path.child("name"), errors);
            }
            errors.extend(faults.into_iter().map(|f| FieldError::invalid(path.child("name"), name, f)));
        }
        if int(&port["containerPort"]) == 0 {
            errors.push(FieldError::required(path.child("containerPort"), ""));
        } else {
            check::port(&port["containerPort"], &path.child("containerPort"), errors);
        }
        if int(&port["hostPort"]) != 0 {
            check::port(&port["hostPort"], &path.child("hostPort"), errors);
        }
        check::must_be_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        check::optional(&port["hostIP"], names::ip, &path.child("hostIP"), errors);
    }
}

/// Two containers cannot have the same port of the host.
fn used_host_ports(container: &Value, used: &mut HashSet<String>, path: &Path, errors: &mut FieldErrors) {
    for (index, port) in items(&container["ports"]).iter().enumerate() {
        let number = int(&port["hostPort"]);
        let told = format!("{}/{}/{number}", text(&port["protocol"]), text(&port["hostIP"]));
        if number != 0 && !used.insert(told.clone()) {
            errors.push(FieldError::duplicate(path.child("ports").index(index).child("hostPort"), told));
        }
    }
}

fn own_network_ports(container: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, port) in
        items(&container["ports"]).iter().enumerate().filter(|(_, port)| !super::same_port(port))
    {
        let at = path.child("ports").index(index).child("containerPort");
        let words = "must match `hostPort` when `hostNetwork` is true";
        errors.push(FieldError::invalid(at, port["containerPort"].clone(), words));
    }
}

fn mounts(container: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    let mut paths = HashSet::new();
    for (index, mount) in items(&container["volumeMounts"]).iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        if check::required(&mount["name"], &path.child("name"), errors)
            && !volumes.contains_key(text(&mount["name"]))
        {
            errors.push(FieldError::not_found(path.child("name"), mount["name"].clone()));
        }
        if check::required(&mount["mountPath"], &path.child("mountPath"), errors)
            && !paths.insert(text(&mount["mountPath"]))
        {
            errors.push(FieldError::invalid(
                path.child("mountPath"),
                mount["mountPath"].clone(),
                "must be unique",
            ));
        }
        let (sub, expression) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
        super::volume::inner_path(sub, &path.child("subPath"), errors);
        super::volume::inner_path(expression, &path.child("subPathExpr"), errors);
        if !sub.is_empty() && !expression.is_empty() {
            let words = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(path.child("subPathExpr"), expression, words));
        }
        propagation(mount, container, &path, errors);
    }
    for (index, device) in items(&container["volumeDevices"]).iter().enumerate() {
        let path = path.child("volumeDevices").index(index);
        if check::required(&device["name"], &path.child("name"), errors)
            && !volumes.contains_key(text(&device["name"]))
        {
            errors.push(FieldError::not_found(path.child("name"), device["name"].clone()));
        }
        check::required(&device["devicePath"], &path.child("devicePath"), errors);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("mountPropagation");
    check::one_of(&mount["mountPropagation"], &PROPAGATIONS, &at, errors);
    if mount["mountPropagation"] == "Bidirectional" && !is_true(&container["securityContext"]["privileged"]) {
        let words = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(at, words));
    }
}
