//! A pod's spec, wherever it stands, in a pod or in a template: validation, and what of it is off by default.
//! (`pkg/apis/core/validation`)

mod affinity;
mod container;
mod disabled;
mod dns;
mod env;
mod ephemeral;
mod handler;
mod mounts;
mod projected;
mod resources;
mod restart;
mod scheduling;
mod security;
pub(crate) mod sources;
mod system;
mod volume;
pub(crate) mod warnings;

pub(crate) use affinity::node_selector;
pub(crate) use container::EPHEMERAL;
pub(crate) use disabled::drop_disabled;
pub(crate) use resources::{
    is_extended, is_standard, may_be_overcommitted, not_negative, of_container, of_quota, overhead,
    resource_name,
};
pub(crate) use scheduling::{TAINT_EFFECTS, tolerations};
pub(crate) use volume::{inner_path, no_way_up};

use std::collections::{BTreeSet, HashMap};

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{entries, is_true, items, text};
use crate::{check, names};

pub(crate) const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// The volumes of a pod by name.
type Volumes<'a> = HashMap<&'a str, &'a Value>;

/// What the parts of a spec must know of the whole.
struct Whole<'a> {
    spec: &'a Value,
    /// A pod itself, not a template of pods.
    is_pod: bool,
    volumes: Volumes<'a>,
    claims: BTreeSet<&'a str>,
}

/// The spec of the pod of this name, or of a template of pods.
pub(crate) fn validate(spec: &Value, pod: Option<&str>, path: &Path, errors: &mut FieldErrors) {
    let is_pod = pod.is_some();
    if spec["terminationGracePeriodSeconds"].is_null() {
        errors.push(FieldError::required(path.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volume::all(&spec["volumes"], pod, &path.child("volumes"), errors);
    let claims = resources::pod_claims(&spec["resourceClaims"], &path.child("resourceClaims"), errors);
    let whole = Whole { spec, is_pod, volumes, claims };
    container::all(&whole, path, errors);
    if spec["resources"].is_object() {
        resources::of_pod(spec, &path.child("resources"), errors);
    }
    container::host_network_ports(&whole, path, errors);
    let restart = path.child("restartPolicy");
    check::must_be_one_of(&spec["restartPolicy"], &RESTART_POLICIES, &restart, errors);
    check::must_be_one_of(&spec["dnsPolicy"], &DNS_POLICIES, &path.child("dnsPolicy"), errors);
    check::labels(&spec["nodeSelector"], &path.child("nodeSelector"), errors);
    security::pod(spec, path, errors);
    affinity::validate(&spec["affinity"], &path.child("affinity"), errors);
    dns::config(spec, &path.child("dnsConfig"), errors);
    scheduling::gates(spec, path, errors);
    scheduling::spread(&spec["topologySpreadConstraints"], &path.child("topologySpreadConstraints"), errors);
    system::host_processes(spec, path, errors);
    system::host_users(spec, path, errors);
    names_and_times(spec, path, errors);
    tolerations(&spec["tolerations"], &path.child("tolerations"), errors);
    dns::host_aliases(&spec["hostAliases"], &path.child("hostAliases"), errors);
    for field in ["priorityClassName", "runtimeClassName"] {
        check::optional(&spec[field], names::subdomain, &path.child(field), errors);
    }
    let preemption = path.child("preemptionPolicy");
    check::one_of(&spec["preemptionPolicy"], &["PreemptLowerPriority", "Never"], &preemption, errors);
    resources::overhead(&spec["overhead"], &path.child("overhead").child("limits"), errors);
    system::operating_system(spec, path, errors);
    dns::hostname_override(spec, path, errors);
}

fn names_and_times(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["serviceAccountName", "nodeName"] {
        check::optional(&spec[field], names::subdomain, &path.child(field), errors);
    }
    if spec["activeDeadlineSeconds"].as_i64().is_some_and(|s| !(1..=i64::from(i32::MAX)).contains(&s)) {
        let (at, value) = (path.child("activeDeadlineSeconds"), spec["activeDeadlineSeconds"].clone());
        errors.push(FieldError::invalid(at, value, "must be between 1 and 2147483647, inclusive"));
    }
    for field in ["hostname", "subdomain"] {
        check::optional(&spec[field], names::dns_label, &path.child(field), errors);
    }
}

/// A pod template: metadata and spec.
pub(crate) fn validate_template(template: &Value, path: &Path, errors: &mut FieldErrors) {
    let meta = &template["metadata"];
    check::labels(&meta["labels"], &path.child("labels"), errors);
    check::annotations(&meta["annotations"], &path.child("annotations"), errors);
    annotations(&meta["annotations"], &template["spec"], &path.child("annotations"), errors);
    validate(&template["spec"], None, &path.child("spec"), errors);
    system::apparmor_annotations(template, &path.child("annotations"), errors);
    if !items(&template["spec"][EPHEMERAL]).is_empty() {
        let at = path.child("spec").child(EPHEMERAL);
        errors.push(FieldError::forbidden(at, "ephemeral containers not allowed in pod template"));
    }
}

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Annotations that mean something to the cluster.
pub(crate) fn annotations(annotations: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some(mirror) = annotations[MIRROR].as_str()
        && text(&spec["nodeName"]).is_empty()
    {
        let words = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(path.key(MIRROR), mirror, words));
    }
    if let Some(cost) = annotations[DELETION_COST].as_str() {
        let plain = !cost.starts_with('+') && (cost == "0" || !cost.trim_start_matches('-').starts_with('0'));
        if !plain || cost.parse::<i32>().is_err() {
            let words = "must be a 32bit integer";
            errors.push(FieldError::invalid(path.key(DELETION_COST), cost, words));
        }
    }
}

pub(crate) fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR].is_null()
}

/// Templates of what always runs.
pub(crate) fn always_restarts(template: &Value, kind: &str, path: &Path, errors: &mut FieldErrors) {
    let (spec, path) = (&template["spec"], path.child("spec"));
    let policy = text(&spec["restartPolicy"]);
    if policy != "Always" {
        errors.push(FieldError::not_supported(path.child("restartPolicy"), policy, &["Always"]));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        let words = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), words));
    }
}

/// Whether a template's labels hold all that a plain selector asks.
pub(crate) fn holds(labels: &Value, wanted: &Value) -> bool {
    entries(wanted).all(|(key, value)| &labels[key] == value)
}

/// Every container of a spec with the name of its list and its index there.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["initContainers", "containers", EPHEMERAL]
        .into_iter()
        .flat_map(|list| items(&spec[list]).iter().enumerate().map(move |(index, c)| (list, index, c)))
}

/// Shares its node's process ids, sockets or messages.
fn shares(spec: &Value, field: &str) -> bool {
    is_true(&spec[field])
}
