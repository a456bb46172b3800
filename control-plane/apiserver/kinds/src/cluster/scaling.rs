//! Validation of HorizontalPodAutoscalers. (`pkg/apis/autoscaling/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{int, items, quantity, text};
use crate::{check, names, podspec};

/// Types of metrics and the fields that hold them.
const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];
const PERIOD_MAX: i64 = 1800;
const WINDOW_MAX: i64 = 3600;

pub(super) fn validate(scaler: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&scaler["spec"], Path::new("spec"));
    let (least, most) = (spec["minReplicas"].as_i64(), int(&spec["maxReplicas"]));
    let words = "must be greater than or equal to 1";
    check::at_least(&spec["minReplicas"], 1, words, &path.child("minReplicas"), errors);
    match most {
        0 => {
            let words = "must be set and greater than 0";
            errors.push(FieldError::required(path.child("maxReplicas"), words));
        }
        ..0 => errors.push(FieldError::invalid(path.child("maxReplicas"), most, words)),
        _ => {}
    }
    if least.is_some_and(|least| most < least) {
        let words = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, words));
    }
    reference(&spec["scaleTargetRef"], &path.child("scaleTargetRef"), errors);
    for (index, given) in items(&spec["metrics"]).iter().enumerate() {
        metric(given, &path.child("metrics").index(index), errors);
    }
    let counts = |metric: &Value| matches!(text(&metric["type"]), "Object" | "External");
    if least == Some(0) && !items(&spec["metrics"]).iter().any(counts) {
        let words = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path.child("metrics"), words));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let (rules, at) = (&spec["behavior"][direction], path.child("behavior").child(direction));
        if rules.is_object() {
            scaling_rules(rules, &at, errors);
        }
    }
}

pub(super) fn changes(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        for field in ["currentReplicas", "desiredReplicas"] {
            check::not_negative(&new["status"][field], &Path::new("status").child(field), errors);
        }
    }
}

fn reference(reference: &Value, path: &Path, errors: &mut FieldErrors) {
    check::named(&reference["kind"], names::path_segment, &path.child("kind"), errors);
    check::named(&reference["name"], names::path_segment, &path.child("name"), errors);
}

/// The group of what is scaled, and of what is measured; what was wrong before may stay wrong. (`ValidateAPIVersion`)
pub(super) fn versions(_context: &Context<'_>, new: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let (target, path) = (&new["spec"]["scaleTargetRef"], Path::new("spec"));
    let kept = old.map(|old| &old["spec"]["scaleTargetRef"]).is_some_and(|old| {
        ["apiVersion", "kind"].iter().all(|field| text(&old[*field]) == text(&target[*field]))
    });
    // Of the core group, only replication controllers can be scaled.
    let may_be_core = target["kind"] == "ReplicationController";
    if let Some(fault) = version_fault(target, may_be_core).filter(|_| !kept) {
        let at = path.child("scaleTargetRef").child("apiVersion");
        errors.push(FieldError::invalid(at, text(&target["apiVersion"]), fault));
    }
    let object = |metric: &Value| version_fault(&metric["object"]["describedObject"], true);
    let wrong_before =
        |old: &Value| items(&old["spec"]["metrics"]).iter().any(|metric| object(metric).is_some());
    if old.is_some_and(wrong_before) {
        return;
    }
    for (index, metric) in items(&new["spec"]["metrics"]).iter().enumerate() {
        if let Some(fault) = object(metric) {
            let at = path.child("metrics").index(index).child("object").child("describedObject");
            let told = text(&metric["object"]["describedObject"]["apiVersion"]);
            errors.push(FieldError::invalid(at.child("apiVersion"), told, fault));
        }
    }
}

fn version_fault(reference: &Value, may_be_core: bool) -> Option<String> {
    let version = text(&reference["apiVersion"]);
    match version.matches('/').count() {
        1 if !version.starts_with('/') => None,
        0 | 1 => (!may_be_core).then(|| "apiVersion must specify API group".into()),
        _ => Some(format!("unexpected GroupVersion string: {version}")),
    }
}

fn scaling_rules(rules: &Value, path: &Path, errors: &mut FieldErrors) {
    let (window, at) = (&rules["stabilizationWindowSeconds"], path.child("stabilizationWindowSeconds"));
    check::at_least(window, 0, "must be greater than or equal to zero", &at, errors);
    at_most(window, WINDOW_MAX, &at, errors);
    check::given_one_of(
        &rules["selectPolicy"],
        &["Disabled", "Max", "Min"],
        &path.child("selectPolicy"),
        errors,
    );
    let (policies, at) = (items(&rules["policies"]), path.child("policies"));
    if policies.is_empty() {
        errors.push(FieldError::required(at.clone(), "must specify at least one Policy"));
    }
    for (index, policy) in policies.iter().enumerate() {
        let at = at.index(index);
        let kind = text(&policy["type"]);
        if !matches!(kind, "Pods" | "Percent") {
            errors.push(FieldError::not_supported(at.child("type"), kind, &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let number = int(&policy[field]).into();
            check::at_least(&number, 1, "must be greater than zero", &at.child(field), errors);
        }
        at_most(&policy["periodSeconds"], PERIOD_MAX, &at.child("periodSeconds"), errors);
    }
    if quantity(&rules["tolerance"]).is_some_and(|tolerance| tolerance.is_negative()) {
        let told = rules["tolerance"].clone();
        errors.push(FieldError::invalid(path.child("tolerance"), told, check::NOT_NEGATIVE));
    }
}

fn at_most(value: &Value, max: i64, path: &Path, errors: &mut FieldErrors) {
    if let Some(number) = value.as_i64().filter(|number| *number > max) {
        let words = format!("must be less than or equal to {max}");
        errors.push(FieldError::invalid(path.clone(), number, words));
    }
}

fn metric(metric: &Value, path: &Path, errors: &mut FieldErrors) {
    let (kind, at) = (text(&metric["type"]), path.child("type"));
    let kinds = SOURCES.map(|(kind, _)| kind);
    if kind.is_empty() {
        errors.push(FieldError::required(at.clone(), "must specify a metric source type"));
    }
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(at, kind, &kinds));
    }
    let given = || SOURCES.iter().map(|(_, field)| *field).filter(|field| metric[*field].is_object());
    if let Some(first) = given().next() {
        source(first, &metric[first], &path.child(first), errors);
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field);
    if let Some(expected) = expected.filter(|field| !metric[*field].is_object()) {
        let words = "must populate information for the given metric source";
        errors.push(FieldError::required(path.child(expected), words));
    }
    if given().count() > 1 {
        for field in given().filter(|field| Some(*field) != expected) {
            let words = "must populate the given metric source only";
            errors.push(FieldError::forbidden(path.child(field), words));
        }
    }
}

fn source(kind: &str, source: &Value, path: &Path, errors: &mut FieldErrors) {
    match kind {
        "object" => {
            reference(&source["describedObject"], &path.child("describedObject"), errors);
            identifier(&source["metric"], &path.child("metric"), errors);
        }
        "external" | "pods" => identifier(&source["metric"], &path.child("metric"), errors),
        _ => {
            let (of_container, at) = (kind == "containerResource", path.child("name"));
            match text(&source["name"]) {
                "" => errors.push(FieldError::required(at, "must specify a resource name")),
                name if of_container => podspec::of_container(name, &at, errors),
                _ => {}
            }
            let at = path.child("container");
            match text(&source["container"]) {
                _ if !of_container => {}
                "" => errors.push(FieldError::required(at, "must specify a container")),
                name => check::syntax(name, names::dns_label, &at, errors),
            }
        }
    }
    let (wanted, at) = (&source["target"], path.child("target"));
    target(wanted, &at, errors);
    targets(kind, wanted, &at, errors);
}

/// Which of its forms a target of a source has.
fn targets(kind: &str, target: &Value, path: &Path, errors: &mut FieldErrors) {
    let has = |field: &str| !target[field].is_null();
    let average = path.child("averageValue");
    match kind {
        "object" if !has("value") && !has("averageValue") => {
            let words = "must set either a target value or averageValue";
            errors.push(FieldError::required(average, words));
        }
        "external" if !has("value") && !has("averageValue") => {
            let words = "must set either a target value for metric or a per-pod target";
            errors.push(FieldError::required(average, words));
        }
        "external" if has("value") && has("averageValue") => {
            let words = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(path.child("value"), words));
        }
        "pods" if !has("averageValue") => {
            errors.push(FieldError::required(average, "must specify a positive target averageValue"));
        }
        "resource" | "containerResource" => match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let words = "must set either a target raw value or a target utilization";
                errors.push(FieldError::required(path.child("averageUtilization"), words));
            }
            (true, true) => {
                let words = "may not set both a target raw value and a target utilization";
                errors.push(FieldError::forbidden(average, words));
            }
            _ => {}
        },
        _ => {}
    }
}

fn identifier(metric: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("name");
    match text(&metric["name"]) {
        "" => errors.push(FieldError::required(at, "must specify a metric name")),
        name => check::syntax(name, names::path_segment, &at, errors),
    }
}

fn target(target: &Value, path: &Path, errors: &mut FieldErrors) {
    let (kind, at) = (text(&target["type"]), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(at.clone(), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let words = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(at, kind, words));
    }
    for field in ["value", "averageValue"] {
        if quantity(&target[field]).is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
            errors.push(FieldError::invalid(path.child(field), target[field].clone(), "must be positive"));
        }
    }
    let (share, at) = (&target["averageUtilization"], path.child("averageUtilization"));
    check::at_least(share, 1, "must be greater than 0", &at, errors);
}
