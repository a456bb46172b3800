//! Which requests carry a pod or the template of pods, and where in them it is.

use oarlock_api::GroupVersionResource;
use serde_json::Value;

use crate::types::AdmissionRequest;
use crate::value::{at, items, text};

const WORKLOADS: [(&str, &str); 8] = [
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    ("apps", "replicasets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
];

/// Parts of a pod that do not change what it runs as. Any other counts, so that a new one is not missed.
const INDIFFERENT: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "resize"];

pub(super) fn concerns(request: &AdmissionRequest<'_>) -> bool {
    let asked = (&*request.resource.group, &*request.resource.resource);
    match asked {
        ("", "pods") => !INDIFFERENT.contains(&request.subresource),
        ("", "namespaces") => request.subresource.is_empty(),
        _ => request.subresource.is_empty() && WORKLOADS.contains(&asked),
    }
}

/// The template of pods in an object that makes pods.
pub(super) fn template<'a>(resource: &GroupVersionResource, object: &'a Value) -> Option<&'a Value> {
    let path: &[&str] = match &*resource.resource {
        "podtemplates" => &["template"],
        "cronjobs" => &["spec", "jobTemplate", "spec", "template"],
        _ => &["spec", "template"],
    };
    at(object, path).filter(|template| template.is_object())
}

/// Whether an update could make a pod less secure: another image, a container more, another seccomp annotation.
pub(super) fn is_significant(new: &Value, old: &Value) -> bool {
    let annotation = |pod: &Value, key: &str| {
        pod["metadata"]["annotations"].get(key).and_then(Value::as_str).map(str::to_string)
    };
    let differs = |key: &str| annotation(new, key) != annotation(old, key);
    if differs("seccomp.security.alpha.kubernetes.io/pod") {
        return true;
    }
    let changed = |new: &Value, old: &Value| {
        let key = format!("container.seccomp.security.alpha.kubernetes.io/{}", text(new, &["name"]));
        new["image"] != old["image"] || differs(&key)
    };
    for list in ["containers", "initContainers"] {
        let (new, old) = (items(new, &["spec", list]), items(old, &["spec", list]));
        if new.len() != old.len() || new.iter().zip(old).any(|(new, old)| changed(new, old)) {
            return true;
        }
    }
    let had = items(old, &["spec", "ephemeralContainers"]);
    items(new, &["spec", "ephemeralContainers"]).iter().any(|container| {
        let same = had.iter().find(|old| text(old, &["name"]) == text(container, &["name"]));
        same.is_none_or(|old| changed(container, old))
    })
}
