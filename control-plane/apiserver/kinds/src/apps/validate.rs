//! Validation of workloads. (`pkg/apis/apps/validation`)

use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{entries, int, items, text};
use crate::{check, podspec};

const SET_WORDS: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// Selector and template, which must agree.
fn pods(spec: &Value, kind: &str, path: &Path, errors: &mut FieldErrors) {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    if selector.is_null() {
        errors.push(FieldError::required(at, ""));
    } else {
        check::selector(selector, &at, errors);
        let none = |field: &str| match &selector[field] {
            Value::Object(map) => map.is_empty(),
            list => items(list).is_empty(),
        };
        if none("matchLabels") && none("matchExpressions") {
            errors.push(FieldError::invalid(at, selector.clone(), empty_words(kind)));
        }
    }
    let (template, at) = (&spec["template"], path.child("template"));
    let labels = &template["metadata"]["labels"];
    if LabelSelector::from_value(selector)
        .is_ok_and(|s| !s.is_nothing() && !s.is_everything() && !s.matches(labels))
    {
        let words = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(at.child("metadata").child("labels"), labels.clone(), words));
    }
    if kind == "StatefulSet" {
        // Its containers mount claims that are no volumes of the template: the pods are validated instead.
        check::labels(labels, &at.child("labels"), errors);
        check::annotations(&template["metadata"]["annotations"], &at.child("annotations"), errors);
    } else {
        podspec::validate_template(template, &at, errors);
    }
    let runs_as = if kind == "Deployment" { "ReplicaSet" } else { kind };
    podspec::always_restarts(template, runs_as, &at, errors);
}

fn empty_words(kind: &str) -> String {
    // Upstream says the same of replica sets as of deployments.
    let told = if kind == "ReplicaSet" { "deployment".into() } else { kind.to_lowercase() };
    format!("empty selector is invalid for {told}")
}

fn counts(spec: &Value, fields: &[&str], path: &Path, errors: &mut FieldErrors) {
    for field in fields {
        check::not_negative(&spec[*field], &path.child(field), errors);
    }
}

pub(super) fn deployment(deployment: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&deployment["spec"], Path::new("spec"));
    counts(spec, &["replicas"], &path, errors);
    pods(spec, "Deployment", &path, errors);
    let (strategy, at) = (&spec["strategy"], path.child("strategy"));
    match text(&strategy["type"]) {
        "Recreate" if strategy["rollingUpdate"].is_object() => {
            let words = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(at.child("rollingUpdate"), words));
        }
        "Recreate" => {}
        "RollingUpdate" => rolling(&strategy["rollingUpdate"], &at.child("rollingUpdate"), errors),
        other => errors.push(FieldError::not_supported(at, other, &["Recreate", "RollingUpdate"])),
    }
    counts(spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], &path, errors);
    if let Some(deadline) =
        spec["progressDeadlineSeconds"].as_i64().filter(|d| *d <= int(&spec["minReadySeconds"]))
    {
        let words = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(path.child("progressDeadlineSeconds"), deadline, words));
    }
}

/// Whether a number or percentage is nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(given) => check::percent(given) == Some(0),
        other => int(other) == 0,
    }
}

fn rolling(update: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["maxUnavailable", "maxSurge"] {
        check::int_or_percent(&update[field], &path.child(field), errors);
    }
    if is_zero(&update["maxUnavailable"]) && is_zero(&update["maxSurge"]) {
        let words = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(
            path.child("maxUnavailable"),
            update["maxUnavailable"].clone(),
            words,
        ));
    }
    at_most_all(&update["maxUnavailable"], &path.child("maxUnavailable"), errors);
}

fn at_most_all(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if check::percent(text(value)).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path.clone(), value.clone(), "must not be greater than 100%"));
    }
}

pub(super) fn replica_set(set: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    counts(spec, &["replicas", "minReadySeconds"], &path, errors);
    pods(spec, "ReplicaSet", &path, errors);
}

pub(super) fn daemon_set(set: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    pods(spec, "DaemonSet", &path, errors);
    counts(spec, &["minReadySeconds", "revisionHistoryLimit"], &path, errors);
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    match text(&strategy["type"]) {
        "OnDelete" => {}
        "RollingUpdate" => daemon_rolling(&strategy["rollingUpdate"], &at.child("rollingUpdate"), errors),
        other => {
            errors.push(FieldError::not_supported(at.child("type"), other, &["OnDelete", "RollingUpdate"]));
        }
    }
}

fn daemon_rolling(update: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["maxUnavailable", "maxSurge"] {
        check::int_or_percent(&update[field], &path.child(field), errors);
        at_most_all(&update[field], &path.child(field), errors);
    }
    let (unavailable, surge) = (is_zero(&update["maxUnavailable"]), is_zero(&update["maxSurge"]));
    if unavailable && surge {
        errors.push(FieldError::required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
    } else if !unavailable && !surge {
        let words = "may not be set when maxUnavailable is non-zero";
        errors.push(FieldError::invalid(path.child("maxSurge"), update["maxSurge"].clone(), words));
    }
}

pub(super) fn stateful_set(set: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    let policies = ["OrderedReady", "Parallel"];
    check::must_be_one_of(
        &spec["podManagementPolicy"],
        &policies,
        &path.child("podManagementPolicy"),
        errors,
    );
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    match text(&strategy["type"]) {
        "" => errors.push(FieldError::required(at, "")),
        "OnDelete" if strategy["rollingUpdate"].is_object() => {
            let words = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(
                at.child("rollingUpdate"),
                strategy["rollingUpdate"].clone(),
                words,
            ));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = at.child("rollingUpdate");
            check::not_negative(&strategy["rollingUpdate"]["partition"], &at.child("partition"), errors);
        }
        other => {
            let words = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(at, other, words));
        }
    }
    let at = path.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let policy = &spec["persistentVolumeClaimRetentionPolicy"][field];
        check::one_of(policy, &["Delete", "Retain"], &at.child(field), errors);
    }
    counts(spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], &path, errors);
    check::not_negative(&spec["ordinals"]["start"], &path.child("ordinals").child("start"), errors);
    pods(spec, "StatefulSet", &path, errors);
}

/// The selector of a workload stays.
pub(super) fn selector_stays(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource.is_empty() {
        check::immutable(
            &new["spec"]["selector"],
            &old["spec"]["selector"],
            &Path::new("spec").child("selector"),
            errors,
        );
    }
}

pub(super) fn stateful_set_changes(
    _context: &Context<'_>,
    new: &Value,
    old: &Value,
    errors: &mut FieldErrors,
) {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |spec: &Value| -> Vec<(String, Value)> {
        let kept = entries(spec).filter(|(field, _)| !FREE.contains(field));
        kept.map(|(field, value)| (field.to_string(), value.clone())).collect()
    };
    if fixed(&new["spec"]) != fixed(&old["spec"]) {
        errors.push(FieldError::forbidden(Path::new("spec"), SET_WORDS));
    }
}

pub(super) fn revision(revision: &Value, errors: &mut FieldErrors) {
    if revision["data"].is_null() {
        errors.push(FieldError::required(Path::new("data"), "data is mandatory"));
    }
    check::not_negative(&int(&revision["revision"]).into(), &Path::new("revision"), errors);
}

pub(super) fn revision_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    check::immutable(&new["data"], &old["data"], &Path::new("data"), errors);
}
