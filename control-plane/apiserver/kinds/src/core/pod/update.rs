//! What may change on a pod, and by which endpoint.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::podspec::{EPHEMERAL, is_mirror};
use crate::strategy::Context;
use crate::value::{differ_but, entries, items, text};

const WORDS: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
     tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";
/// So many are compared one by one.
const FEW: usize = 32;
const MIRROR: &str = "kubernetes.io/config.mirror";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn validate(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    annotations(&new["metadata"]["annotations"], &old["metadata"]["annotations"], errors);
    match context.subresource {
        "status" => super::status::validate(new, old, errors),
        "ephemeralcontainers" => ephemeral(new, old, errors),
        "resize" => super::resize::validate(new, old, errors),
        _ => spec(&new["spec"], &old["spec"], errors),
    }
}

/// What says where a pod comes from, or how it is confined, stays.
fn annotations(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let told = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        _ if key.starts_with(APPARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    let mut refuse = |key: &str, words: String| {
        let at = Path::new("metadata").child("annotations").key(key);
        errors.push(FieldError::forbidden(at, words));
    };
    for (key, value) in entries(old) {
        if let Some(told) = told(key)
            && new[key] != *value
        {
            refuse(key, format!("may not remove or update {told}"));
        }
    }
    for (key, _) in entries(new).filter(|(key, _)| old[*key].is_null()) {
        if let Some(told) = told(key) {
            refuse(key, format!("may not add {told}"));
        }
    }
}

fn ephemeral(new: &Value, old: &Value, errors: &mut FieldErrors) {
    if is_mirror(old) {
        errors.clear();
        let words = "static pods do not support ephemeral containers";
        return errors.push(FieldError::forbidden(Path::root(), words));
    }
    let path = Path::new("spec").child(EPHEMERAL);
    for container in items(&old["spec"][EPHEMERAL]) {
        let name = text(&container["name"]);
        match items(&new["spec"][EPHEMERAL]).iter().find(|c| c["name"] == container["name"]) {
            None => {
                let words = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(path.clone(), words));
            }
            Some(now) if now != container => {
                let words = format!("existing ephemeral containers {name:?} may not be changed\n");
                errors.push(FieldError::forbidden(path.clone(), words));
            }
            Some(_) => {}
        }
    }
}

fn spec(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        let at = path.child(list);
        if items(&new[list]).len() != items(&old[list]).len() {
            return errors.push(FieldError::forbidden(at, "pod updates may not add or remove containers"));
        }
    }
    if !deadline(new, old, &path, errors) {
        return;
    }
    tolerations(new, old, &path, errors);
    gates(new, old, &path, errors);
    let gated = !items(&old["schedulingGates"]).is_empty();
    if gated {
        node_selector(&new["nodeSelector"], &old["nodeSelector"], &path.child("nodeSelector"), errors);
        let at = path.child("affinity").child("nodeAffinity");
        node_affinity(&new["affinity"]["nodeAffinity"], &old["affinity"]["nodeAffinity"], &at, errors);
    }
    if others_differ(new, old, gated) {
        errors.push(FieldError::forbidden(path, WORDS));
    }
}

/// A deadline may be set and be brought forward.
fn deadline(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) -> bool {
    let path = path.child("activeDeadlineSeconds");
    match (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64()) {
        (Some(now), Some(was)) if now > was => {
            errors.push(FieldError::invalid(path, now, "must be less than or equal to previous value"));
            return false;
        }
        (None, Some(_)) => {
            let words = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, Value::Null, words));
        }
        _ => {}
    }
    true
}

/// Each that was there is there still, but for how long it holds.
fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let now = items(&new["tolerations"]);
    let was = items(&old["tolerations"]);
    let parts = |t: &'_ Value| ["key", "operator", "value", "effect"].map(|field| t[field].to_string());
    let kept = if was.len() <= FEW {
        was.iter().all(|was| now.iter().any(|now| !differ_but(now, was, &["tolerationSeconds"])))
    } else {
        let now: HashSet<[String; 4]> = now.iter().map(parts).collect();
        was.iter().all(|was| now.contains(&parts(was)))
    };
    if !kept {
        let words = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path.child("tolerations"), words));
    }
}

fn gates(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let was = items(&old["schedulingGates"]);
    for (index, gate) in
        items(&new["schedulingGates"]).iter().enumerate().filter(|(_, gate)| !was.contains(gate))
    {
        let words =
            format!("only deletion is allowed, but found new scheduling gate '{}'", text(&gate["name"]));
        let at = path.child("schedulingGates").index(index).child("name");
        errors.push(FieldError::forbidden(at, words));
    }
}

/// A gated pod may be told more closely where it may go.
fn node_selector(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    if entries(old).any(|(key, value)| new[key] != *value) {
        let words = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(path.clone(), new.clone(), words));
    }
}

fn node_affinity(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const TERM: &str = "io.k8s.api.core.v1.NodeSelectorTerm";
    let was = items(&old[REQUIRED]["nodeSelectorTerms"]);
    if was.is_empty() || new == old {
        return;
    }
    let at = path.child(REQUIRED).child("nodeSelectorTerms");
    let now = items(&new[REQUIRED]["nodeSelectorTerms"]);
    if now.len() != was.len() {
        let words = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let told = dump::list(TERM, &new[REQUIRED]["nodeSelectorTerms"]);
        return errors.push(FieldError::invalid(at, "", words).told_as(&told));
    }
    for (index, (now, was)) in now.iter().zip(was).enumerate() {
        let narrower = |field: &str| {
            let (now, was) = (items(&now[field]), items(&was[field]));
            now.len() >= was.len() && now[..was.len()] == *was
        };
        let (expressions, fields) = (narrower("matchExpressions"), narrower("matchFields"));
        let empty = items(&was["matchExpressions"]).is_empty() && items(&was["matchFields"]).is_empty();
        if !expressions || !fields || (empty && now != was) {
            let words = "only additions are allowed (no mutations or deletions)";
            let told = dump::object(TERM, now);
            errors.push(FieldError::invalid(at.index(index), "", words).told_as(&told));
        }
    }
}

/// Whether anything differs that an update may not change.
fn others_differ(new: &Value, old: &Value, gated: bool) -> bool {
    const FREE: [&str; 7] = [
        "activeDeadlineSeconds",
        "tolerations",
        "schedulingGates",
        "containers",
        "initContainers",
        "terminationGracePeriodSeconds",
        // Another name for serviceAccountName, which decides.
        "serviceAccount",
    ];
    const GATED: [&str; 9] = [
        "activeDeadlineSeconds",
        "tolerations",
        "schedulingGates",
        "containers",
        "initContainers",
        "terminationGracePeriodSeconds",
        "serviceAccount",
        "nodeSelector",
        "affinity",
    ];
    let containers = |list: &str| {
        items(&new[list]).iter().zip(items(&old[list])).any(|(now, was)| differ_but(now, was, &["image"]))
    };
    let grace = "terminationGracePeriodSeconds";
    let raised = old[grace].as_i64().is_some_and(|seconds| seconds < 0) && new[grace] == 1;
    differ_but(new, old, if gated { &GATED } else { &FREE })
        || gated && differ_but(&new["affinity"], &old["affinity"], &["nodeAffinity"])
        || new[grace] != old[grace] && !raised
        || containers("containers")
        || containers("initContainers")
}
