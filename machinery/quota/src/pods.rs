//! Pods as quotas count them: what they compute with, and the scopes that they are in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oarlock_api::quantity::{Format, Quantity};
use oarlock_api::value::{at, items, text};
use serde_json::Value;

use crate::amounts::{Amounts, amounts};
use crate::pod_amounts::{self, Reading};
use crate::scope::Selector;

const COMPUTE: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];

pub(crate) fn counts(name: &str) -> bool {
    COMPUTE.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || (name.starts_with("requests.") && !is_native(name))
        || name.strip_prefix("requests.").is_some_and(|name| name.starts_with(IMPLICIT))
}

/// Devices of a class, asked for like any other resource. (KEP-5004)
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Of a pod that has ended only its object counts. Whether its time is over is not looked at: see [`ends_at`].
pub(crate) fn usage(pod: &Value, count: String) -> Amounts {
    let one = Quantity::new(1, Format::DecimalSi);
    let mut usage = Amounts::from([(count, one)]);
    if matches!(text(pod, &["status", "phase"]), "Failed" | "Succeeded") {
        return usage;
    }
    let reading = Reading { status: true, overhead: true };
    let (requests, limits) = (pod_amounts::requests(pod, reading), pod_amounts::limits(pod, reading));
    usage.insert("pods".into(), one);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.into(), *request);
            usage.insert(format!("requests.{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        if name.starts_with("hugepages-") {
            usage.insert(format!("requests.{name}"), request);
            usage.insert(name, request);
        } else if (!is_native(&name) && !name.starts_with("requests.")) || name.starts_with(IMPLICIT) {
            usage.insert(format!("requests.{name}"), request);
        }
    }
    usage
}

/// When the pod counts as gone although its object is still there: its grace has passed. The timestamp has the grace in
/// it already; upstream adds it once more before it believes that the pod is gone.
pub(crate) fn ends_at(pod: &Value) -> Option<Timestamp> {
    let deleted: Timestamp = text(pod, &["metadata", "deletionTimestamp"]).parse().ok()?;
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64()?;
    Some(deleted.saturating_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX))
}

/// For each resource that a quota may require to be told, the containers that do not: a quota of cpu or memory wants
/// every container to tell it, unless the pod as a whole tells anything. (Upstream calls that a mistake, and keeps it.)
pub fn missing(pod: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if ["requests", "limits"].iter().any(|which| !pod_amounts::pod_level(pod, which).is_empty()) {
        return missing;
    }
    for container in ["containers", "initContainers"].iter().flat_map(|list| items(pod, &["spec", list])) {
        let mut note = |name: String| {
            missing.entry(name).or_default().insert(text(container, &["name"]).into());
        };
        for which in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                if at(container, &["resources", which, resource]).is_some() {
                    continue;
                }
                note(format!("{which}.{resource}"));
                if which == "requests" {
                    note(resource.into());
                }
            }
        }
    }
    missing
}

/// What the scopes of quotas look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodScopes {
    terminating: bool,
    best_effort: bool,
    priority_class: String,
    cross_namespace: bool,
}

impl PodScopes {
    pub(crate) fn of(pod: &Value) -> Self {
        Self {
            terminating: is_terminating(pod),
            best_effort: is_best_effort(pod),
            priority_class: text(pod, &["spec", "priorityClassName"]).into(),
            cross_namespace: crosses_namespaces(pod),
        }
    }

    pub(crate) fn is_in(&self, selector: &Selector) -> bool {
        match selector.scope.as_str() {
            "Terminating" => self.terminating,
            "NotTerminating" => !self.terminating,
            "BestEffort" => self.best_effort,
            "NotBestEffort" => !self.best_effort,
            "CrossNamespacePodAffinity" => self.cross_namespace,
            "PriorityClass" if self.priority_class.is_empty() => selector.selects(&[]),
            "PriorityClass" => selector.selects(&[&self.priority_class]),
            _ => false,
        }
    }
}

/// The pod's time is limited.
pub fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// Nothing of cpu or memory is asked for, by anything in the pod.
pub fn is_best_effort(pod: &Value) -> bool {
    match text(pod, &["status", "qosClass"]) {
        "" => {}
        class => return class == "BestEffort",
    }
    let asks = |resources: &Value| {
        ["requests", "limits"].iter().any(|which| {
            let told = amounts(&resources[*which]);
            ["cpu", "memory"].iter().any(|name| told.get(*name).is_some_and(|amount| !amount.is_zero()))
        })
    };
    let lists = ["containers", "initContainers"];
    let mut containers = lists.iter().flat_map(|list| items(pod, &["spec", list]));
    !asks(&pod["spec"]["resources"]) && !containers.any(|container| asks(&container["resources"]))
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses =
        |term: &Value| !items(term, &["namespaces"]).is_empty() || term["namespaceSelector"].is_object();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let Some(affinity) = at(pod, &["spec", "affinity", kind]) else { return false };
        items(affinity, &["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(crosses)
            || items(affinity, &["preferredDuringSchedulingIgnoredDuringExecution"])
                .iter()
                .any(|weighted| crosses(&weighted["podAffinityTerm"]))
    })
}
