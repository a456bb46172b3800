//! Other resources for a running pod. (KEP-1287)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::qos;
use crate::podspec::is_mirror;
use crate::value::{differ_but, entries, items};

const MUTABLE: &str = "only cpu and memory resources are mutable";

/// What an old and a new pod may differ in has been cut down before.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let whole = if is_mirror(old) {
        Some("static pods cannot be resized")
    } else if old["spec"]["os"]["name"] == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(words) = whole {
        errors.clear();
        return errors.push(FieldError::forbidden(Path::root(), words));
    }
    let path = Path::new("spec");
    let was = old["status"]["qosClass"].as_str().unwrap_or_else(|| qos::class(&old["spec"]));
    if was != qos::class(&new["spec"]) {
        let words = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(path.clone(), new["status"]["qosClass"].clone(), words));
    }
    if !is_supported(old) {
        let words = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden(path.clone(), words));
    }
    for list in ["initContainers", "containers"] {
        let pairs = items(&new["spec"][list]).iter().zip(items(&old["spec"][list]));
        for (index, (now, was)) in pairs.enumerate() {
            container(now, was, list, &path.child(list).index(index), errors);
        }
    }
    pod_level(&new["spec"]["resources"], &old["spec"]["resources"], &path.child("resources"), errors);
}

/// A kubelet that can resize says what its running containers have.
fn is_supported(pod: &Value) -> bool {
    let statuses = items(&pod["status"]["containerStatuses"]);
    statuses.iter().find(|s| !s["state"]["running"].is_null()).is_none_or(|s| !s["resources"].is_null())
}

fn container(now: &Value, was: &Value, list: &str, path: &Path, errors: &mut FieldErrors) {
    let spec = Path::new("spec");
    let regular = list == "containers";
    if !regular && was["restartPolicy"] != "Always" {
        if now != was {
            let words = "resources for non-sidecar init containers are immutable";
            errors.push(FieldError::forbidden(spec, words));
        }
        return;
    }
    removed(&now["resources"], &was["resources"], &path.child("resources"), errors);
    let others = ["limits", "requests"]
        .iter()
        .any(|kind| differ_but(&now["resources"][*kind], &was["resources"][*kind], &["cpu", "memory"]));
    if others
        || differ_but(now, was, &["resources"])
        || now["resources"]["claims"] != was["resources"]["claims"]
    {
        let words = if regular {
            MUTABLE
        } else {
            "only cpu and memory resources for sidecar containers are mutable"
        };
        errors.push(FieldError::forbidden(spec, words));
    }
}

fn removed(now: &Value, was: &Value, path: &Path, errors: &mut FieldErrors) {
    for (kind, words) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        if entries(&was[kind]).any(|(name, _)| now[kind][name].is_null()) {
            errors.push(FieldError::forbidden(path.child(kind), words));
        }
    }
}

fn pod_level(now: &Value, was: &Value, path: &Path, errors: &mut FieldErrors) {
    if now == was {
        return;
    }
    removed(now, was, path, errors);
    if ["limits", "requests"].iter().any(|kind| differ_but(&now[*kind], &was[*kind], &["cpu", "memory"])) {
        errors.push(FieldError::forbidden(Path::new("spec"), MUTABLE));
    }
}
