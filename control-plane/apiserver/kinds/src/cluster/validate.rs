//! Validation of the small groups' kinds.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{int, is_true, items, name, text};
use crate::{check, names};

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

pub(super) fn lease(lease: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&lease["spec"], Path::new("spec"));
    let seconds = path.child("leaseDurationSeconds");
    check::at_least(&spec["leaseDurationSeconds"], 1, "must be greater than 0", &seconds, errors);
    check::not_negative(&spec["leaseTransitions"], &path.child("leaseTransitions"), errors);
    if spec["strategy"].is_null() && !text(&spec["preferredHolder"]).is_empty() {
        let words = "may only be specified when `strategy` is defined";
        errors.push(FieldError::forbidden(path.child("preferredHolder"), words));
    }
}

pub(super) fn disruption_budget(budget: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&budget["spec"], Path::new("spec"));
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let words = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path.clone(), spec.clone(), words));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let at = path.child(field);
        check::int_or_percent(&spec[field], &at, errors);
        if check::percent(text(&spec[field])).is_some_and(|percent| percent > 100) {
            errors.push(FieldError::invalid(at, spec[field].clone(), "must not be greater than 100%"));
        }
    }
    check::selector(&spec["selector"], &path.child("selector"), errors);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    check::one_of(
        &spec["unhealthyPodEvictionPolicy"],
        &policies,
        &path.child("unhealthyPodEvictionPolicy"),
        errors,
    );
}

pub(super) fn priority_class(class: &Value, errors: &mut FieldErrors) {
    let supported = ["Never", "PreemptLowerPriority"];
    check::one_of(&class["preemptionPolicy"], &supported, &Path::new("preemptionPolicy"), errors);
}

pub(super) fn new_priority_class(class: &Value, errors: &mut FieldErrors) {
    let (class_name, value) = (name(class), int(&class["value"]));
    if class_name.starts_with(SYSTEM_PREFIX) {
        let known = SYSTEM_CLASSES.iter().find(|(known, _)| *known == class_name);
        let words = match known {
            None => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: \
                 {class_name} is not a known system priority class"
            ),
            Some((_, wanted)) if *wanted != value => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: value of \
                 {class_name} PriorityClass must be {wanted}"
            ),
            Some(_) if is_true(&class["globalDefault"]) => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: \
                 globalDefault of {class_name} PriorityClass must be false"
            ),
            Some(_) => return,
        };
        errors.push(FieldError::forbidden(Path::new("metadata").child("name"), words));
    } else if value > USER_PRIORITY_MAX {
        let words = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.push(FieldError::forbidden(Path::new("value"), words));
    }
}

pub(super) fn priority_class_changes(
    _context: &Context<'_>,
    new: &Value,
    old: &Value,
    errors: &mut FieldErrors,
) {
    if int(&new["value"]) != int(&old["value"]) {
        errors.push(FieldError::forbidden(Path::new("value"), "may not be changed in an update."));
    }
    check::immutable(
        &new["preemptionPolicy"],
        &old["preemptionPolicy"],
        &Path::new("preemptionPolicy"),
        errors,
    );
}

pub(super) fn runtime_class(class: &Value, errors: &mut FieldErrors) {
    check::syntax(text(&class["handler"]), names::dns_label, &Path::new("handler"), errors);
}

pub(super) fn runtime_class_changes(
    _context: &Context<'_>,
    new: &Value,
    old: &Value,
    errors: &mut FieldErrors,
) {
    check::immutable(&new["handler"], &old["handler"], &Path::new("handler"), errors);
}

pub(super) fn autoscaler(scaler: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&scaler["spec"], Path::new("spec"));
    let (least, most) = (spec["minReplicas"].as_i64(), int(&spec["maxReplicas"]));
    check::at_least(
        &spec["minReplicas"],
        1,
        "must be greater than or equal to 1",
        &path.child("minReplicas"),
        errors,
    );
    if most < 1 {
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let words = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, words));
    }
    let (target, at) = (&spec["scaleTargetRef"], path.child("scaleTargetRef"));
    check::required(&target["kind"], &at.child("kind"), errors);
    check::required(&target["name"], &at.child("name"), errors);
    for (index, given) in items(&spec["metrics"]).iter().enumerate() {
        metric(given, &path.child("metrics").index(index), errors);
    }
}

fn metric(metric: &Value, path: &Path, errors: &mut FieldErrors) {
    const SOURCES: [(&str, &str); 5] = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kinds = SOURCES.map(|(kind, _)| kind);
    if text(&metric["type"]).is_empty() {
        return errors.push(FieldError::required(path.child("type"), "must specify a metric source type"));
    }
    let Some((_, field)) = SOURCES.iter().find(|(kind, _)| metric["type"] == *kind) else {
        return check::one_of(&metric["type"], &kinds, &path.child("type"), errors);
    };
    let (source, at) = (&metric[*field], path.child(field));
    if !source.is_object() {
        let words = "must populate information for the given metric source";
        return errors.push(FieldError::required(at, words));
    }
    if field.to_lowercase().ends_with("resource") && text(&source["name"]).is_empty() {
        errors.push(FieldError::required(at.child("name"), "must specify a resource name"));
    }
    let kinds = ["AverageValue", "Utilization", "Value"];
    check::must_be_one_of(&source["target"]["type"], &kinds, &at.child("target").child("type"), errors);
    let utilisation = &source["target"]["averageUtilization"];
    let at = at.child("target").child("averageUtilization");
    check::at_least(utilisation, 1, "must be greater than 0", &at, errors);
}
