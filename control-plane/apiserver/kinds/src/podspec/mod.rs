//! Validation of a pod's spec, wherever it stands: in a pod or in a template. (`pkg/apis/core/validation`)

mod affinity;
mod container;
mod env;
mod handler;
mod resources;
mod scheduling;
mod security;
mod volume;

pub(crate) use affinity::node_selector;
pub(crate) use container::EPHEMERAL;
pub(crate) use resources::{not_negative, requirements};

use std::collections::HashMap;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{entries, int, is_true, items, text};
use crate::{check, names};

const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// The volumes of a pod by name.
type Volumes<'a> = HashMap<&'a str, &'a Value>;

pub(crate) fn validate(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let volumes = volume::all(&spec["volumes"], &path.child("volumes"), errors);
    container::all(spec, &volumes, path, errors);
    check::must_be_one_of(
        &spec["restartPolicy"],
        &["Always", "Never", "OnFailure"],
        &path.child("restartPolicy"),
        errors,
    );
    dns(spec, path, errors);
    check::labels(&spec["nodeSelector"], &path.child("nodeSelector"), errors);
    security::pod(spec, path, errors);
    for field in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
        check::optional(&spec[field], names::subdomain, &path.child(field), errors);
    }
    for field in ["hostname", "subdomain"] {
        check::optional(&spec[field], names::dns_label, &path.child(field), errors);
    }
    if spec["activeDeadlineSeconds"].as_i64().is_some_and(|s| !(1..=i64::from(i32::MAX)).contains(&s)) {
        let (at, value) = (path.child("activeDeadlineSeconds"), spec["activeDeadlineSeconds"].clone());
        errors.push(FieldError::invalid(at, value, "must be between 1 and 2147483647, inclusive"));
    }
    affinity::validate(&spec["affinity"], &path.child("affinity"), errors);
    host_aliases(&spec["hostAliases"], &path.child("hostAliases"), errors);
    scheduling::tolerations(&spec["tolerations"], &path.child("tolerations"), errors);
    scheduling::gates(spec, path, errors);
    scheduling::spread(&spec["topologySpreadConstraints"], &path.child("topologySpreadConstraints"), errors);
    check::one_of(&spec["os"]["name"], &["linux", "windows"], &path.child("os").child("name"), errors);
    if is_true(&spec["shareProcessNamespace"]) && is_true(&spec["hostPID"]) {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, words));
    }
    resources::list(&spec["overhead"], &path.child("overhead"), errors);
    if spec["resources"].is_object() {
        requirements(&spec["resources"], &path.child("resources"), errors);
    }
}

/// A pod template: metadata and spec.
pub(crate) fn validate_template(template: &Value, path: &Path, errors: &mut FieldErrors) {
    let meta = &template["metadata"];
    check::labels(&meta["labels"], &path.child("metadata").child("labels"), errors);
    check::annotations(&meta["annotations"], &path.child("metadata").child("annotations"), errors);
    validate(&template["spec"], &path.child("spec"), errors);
    if !items(&template["spec"]["ephemeralContainers"]).is_empty() {
        let at = path.child("spec").child("ephemeralContainers");
        errors.push(FieldError::forbidden(at, "ephemeral containers not allowed in pod template"));
    }
}

fn dns(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    check::must_be_one_of(&spec["dnsPolicy"], &DNS_POLICIES, &path.child("dnsPolicy"), errors);
    let (config, path) = (&spec["dnsConfig"], path.child("dnsConfig"));
    let (servers, searches) = (items(&config["nameservers"]), items(&config["searches"]));
    if spec["dnsPolicy"] == "None" && servers.is_empty() {
        let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(path.child("nameservers"), words));
    }
    if servers.len() > NAMESERVERS_MAX {
        let words = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(path.child("nameservers"), servers.to_vec(), words));
    }
    for (index, server) in servers.iter().enumerate() {
        check::syntax(text(server), names::ip, &path.child("nameservers").index(index), errors);
    }
    if searches.len() > SEARCHES_MAX {
        let words = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(path.child("searches"), searches.to_vec(), words));
    }
    for (index, search) in searches.iter().map(text).enumerate().filter(|(_, search)| *search != ".") {
        let plain = search.strip_suffix('.').unwrap_or(search).replace('_', "-");
        let faults = names::subdomain(&plain).into_iter();
        errors.extend(faults.map(|f| FieldError::invalid(path.child("searches").index(index), search, f)));
    }
    for (index, option) in items(&config["options"]).iter().enumerate() {
        if text(&option["name"]).is_empty() {
            errors.push(FieldError::required(path.child("options").index(index), "must not be empty"));
        }
    }
}

fn host_aliases(aliases: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, alias) in items(aliases).iter().enumerate() {
        let path = path.index(index);
        check::syntax(text(&alias["ip"]), names::ip, &path.child("ip"), errors);
        for (index, hostname) in items(&alias["hostnames"]).iter().enumerate() {
            check::syntax(text(hostname), names::subdomain, &path.child("hostnames").index(index), errors);
        }
    }
}

/// Templates of what always runs.
pub(crate) fn always_restarts(template: &Value, kind: &str, path: &Path, errors: &mut FieldErrors) {
    let (spec, path) = (&template["spec"], path.child("spec"));
    let policy = text(&spec["restartPolicy"]);
    if !policy.is_empty() && policy != "Always" {
        errors.push(FieldError::not_supported(path.child("restartPolicy"), policy, &["Always"]));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        let words = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), words));
    }
}

/// Whether a plain selector or a template's labels hold all that `wanted` asks.
pub(crate) fn holds(labels: &Value, wanted: &Value) -> bool {
    entries(wanted).all(|(key, value)| &labels[key] == value)
}

fn same_port(port: &Value) -> bool {
    int(&port["hostPort"]) == 0 || port["hostPort"] == port["containerPort"]
}
