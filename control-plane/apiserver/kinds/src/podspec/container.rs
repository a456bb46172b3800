//! Containers of all three lists.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::{Whole, env, ephemeral, handler, mounts, resources, restart, security, shares};
use crate::check::Seen;
use crate::value::{int, is_true, items, text};
use crate::{check, names};

pub(crate) const EPHEMERAL: &str = "ephemeralContainers";
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["File", "FallbackToLogsOnError"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// What only long-running containers have.
pub(super) const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

pub(super) fn all(whole: &Whole<'_>, path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::new();
    regular(whole, &mut seen, &path.child("containers"), errors);
    init(whole, &mut seen, &path.child("initContainers"), errors);
    ephemeral::all(whole, &mut seen, &path.child(EPHEMERAL), errors);
}

fn regular<'a>(whole: &Whole<'a>, seen: &mut Seen<'a>, path: &Path, errors: &mut FieldErrors) {
    let spec = whole.spec;
    let list = items(&spec["containers"]);
    if list.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    }
    let mut host_ports = HashSet::new();
    for (index, container) in list.iter().enumerate() {
        let path = path.index(index);
        common(container, whole, &path, errors);
        seen.add(text(&container["name"]), &path.child("name"), errors);
        running(container, spec, &path, errors);
        restart::policy(container, &path, errors);
    }
    for (index, container) in list.iter().enumerate() {
        used_host_ports(container, &mut host_ports, &path.index(index), errors);
    }
}

fn init<'a>(whole: &Whole<'a>, seen: &mut Seen<'a>, path: &Path, errors: &mut FieldErrors) {
    let spec = whole.spec;
    for (index, container) in items(&spec["initContainers"]).iter().enumerate() {
        let at = path.index(index);
        common(container, whole, &at, errors);
        restart::policy(container, &at, errors);
        seen.add(text(&container["name"]), &at.child("name"), errors);
        used_host_ports(container, &mut HashSet::new(), &path.index(0), errors);
        if container["restartPolicy"] == "Always" {
            running(container, spec, &at, errors);
            continue;
        }
        for field in ["lifecycle"].iter().chain(&PROBES).filter(|field| !container[**field].is_null()) {
            let words = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(at.child(field), words));
        }
    }
}

pub(super) fn common(container: &Value, whole: &Whole<'_>, path: &Path, errors: &mut FieldErrors) {
    check::named(&container["name"], names::dns_label, &path.child("name"), errors);
    let image = text(&container["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(path.child("image"), ""));
    } else if whole.is_pod && image.trim() != image {
        let words = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(path.child("image"), image, words));
    }
    let policy = path.child("terminationMessagePolicy");
    check::must_be_one_of(&container["terminationMessagePolicy"], &MESSAGE_POLICIES, &policy, errors);
    ports(&container["ports"], &path.child("ports"), errors);
    env::all(container, &whole.volumes, path, errors);
    mounts::mounts(container, &whole.volumes, &path.child("volumeMounts"), errors);
    mounts::devices(container, &whole.volumes, &path.child("volumeDevices"), errors);
    let pull = path.child("imagePullPolicy");
    check::must_be_one_of(&container["imagePullPolicy"], &PULL_POLICIES, &pull, errors);
    let at = path.child("resources");
    resources::requirements(&container["resources"], &at, errors);
    resources::claimed(&container["resources"]["claims"], &whole.claims, &at.child("claims"), errors);
    restart::resize_policy(container, whole.spec, &path.child("resizePolicy"), errors);
    let context = &container["securityContext"];
    security::container(context, whole.spec, &path.child("securityContext"), errors);
}

fn running(container: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    handler::lifecycle(&container["lifecycle"], spec, &path.child("lifecycle"), errors);
    for probe in PROBES {
        handler::probe(&container[probe], probe, spec, &path.child(probe), errors);
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
        check::must_be_one_of(&port["protocol"], &PROTOCOLS, &path.child("protocol"), errors);
    }
}

/// Two containers cannot have the same port of the host.
fn used_host_ports<'a>(
    container: &'a Value,
    used: &mut HashSet<(&'a str, &'a str, i64)>,
    path: &Path,
    errors: &mut FieldErrors,
) {
    for (index, port) in items(&container["ports"]).iter().enumerate() {
        let (protocol, address, number) =
            (text(&port["protocol"]), text(&port["hostIP"]), int(&port["hostPort"]));
        if number != 0 && !used.insert((protocol, address, number)) {
            let at = path.child("ports").index(index).child("hostPort");
            errors.push(FieldError::duplicate(at, format!("{protocol}/{address}/{number}")));
        }
    }
}

/// On the host's network a port of the container is the port of the host. A template may leave the latter out.
pub(super) fn host_network_ports(whole: &Whole<'_>, path: &Path, errors: &mut FieldErrors) {
    if !shares(whole.spec, "hostNetwork") {
        return;
    }
    for (index, container) in items(&whole.spec["containers"]).iter().enumerate() {
        for (port_index, port) in items(&container["ports"]).iter().enumerate() {
            let (host, own) = (int(&port["hostPort"]), int(&port["containerPort"]));
            if (whole.is_pod || host != 0) && host != own {
                let at = path.child("containers").index(index).child("ports").index(port_index);
                let words = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(at.child("hostPort"), host, words));
            }
        }
    }
}

pub(super) fn is_privileged(container: &Value) -> bool {
    is_true(&container["securityContext"]["privileged"])
}
