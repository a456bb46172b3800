//! What may change on a pod, and by which endpoint.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check;
use crate::strategy::Context;
use crate::value::{items, items_mut, remove, text};

const WORDS: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
     tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    match context.subresource {
        "status" => {
            let (path, class) =
                (Path::new("status").child("qosClass"), |pod: &Value| pod["status"]["qosClass"].clone());
            if !class(old).is_null() {
                check::immutable(&class(new), &class(old), &path, errors);
            }
        }
        "ephemeralcontainers" => ephemeral(&new["spec"], &old["spec"], errors),
        "resize" => {}
        _ => spec(&new["spec"], &old["spec"], errors),
    }
}

fn ephemeral(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let field = crate::podspec::EPHEMERAL;
    let path = Path::new("spec").child(field);
    for container in items(&old[field]) {
        let name = text(&container["name"]);
        match items(&new[field]).iter().find(|c| c["name"] == container["name"]) {
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
        if items(&new[list]).len() != items(&old[list]).len() {
            let words = "pod updates may not add or remove containers";
            return errors.push(FieldError::forbidden(path.child(list), words));
        }
    }
    deadline(new, old, &path, errors);
    tolerations(new, old, &path, errors);
    gates(new, old, &path, errors);
    if !same_but_for_what_may_change(new, old) {
        errors.push(FieldError::forbidden(path, WORDS));
    }
}

/// A deadline may be set and be brought forward.
fn deadline(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let path = path.child("activeDeadlineSeconds");
    match (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64()) {
        (Some(now), Some(was)) if now > was => {
            errors.push(FieldError::invalid(path, now, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            let words = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, Value::Null, words));
        }
        _ => {}
    }
}

/// Each that was there is there still, but for how long it holds.
fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let bare = |toleration: &Value| {
        let mut bare = toleration.clone();
        remove(&mut bare, "tolerationSeconds");
        bare
    };
    let now: Vec<Value> = items(&new["tolerations"]).iter().map(bare).collect();
    if !items(&old["tolerations"]).iter().all(|toleration| now.contains(&bare(toleration))) {
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
        errors.push(FieldError::forbidden(path.child("schedulingGates").index(index), words));
    }
}

fn same_but_for_what_may_change(new: &Value, old: &Value) -> bool {
    let mut new = new.clone();
    for list in ["containers", "initContainers"] {
        for (now, was) in items_mut(&mut new, list).iter_mut().zip(items(&old[list])) {
            crate::value::keep(now, was, "image");
        }
    }
    // A gated pod may still be told where it may go.
    let gated = !items(&old["schedulingGates"]).is_empty();
    let mut free = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if gated {
        free.extend(["nodeSelector", "affinity"]);
    }
    if old["terminationGracePeriodSeconds"].as_i64().is_some_and(|s| s < 0)
        && new["terminationGracePeriodSeconds"] == 1
    {
        free.push("terminationGracePeriodSeconds");
    }
    for field in free {
        crate::value::keep(&mut new, old, field);
    }
    new == *old
}
