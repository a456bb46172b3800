//! Validation of workloads. (`pkg/apis/apps/validation`)

use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::{Value, json};

use crate::strategy::Context;
use crate::value::{differ_but, int, is_set, items, text};
use crate::{check, names, podspec};

const SET_WORDS: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// Selector and template, which must agree.
fn pods(spec: &Value, kind: &str, path: &Path, errors: &mut FieldErrors) {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    let refused = |words: &str| {
        FieldError::invalid(at.clone(), Value::Null, words).told_as(&check::told_selector(selector))
    };
    if selector.is_null() {
        // A daemon set without one is told of its labels only.
        if kind != "DaemonSet" {
            errors.push(FieldError::required(at.clone(), ""));
        }
    } else {
        check::selector(selector, &at, errors);
        if !is_set(&selector["matchLabels"]) && !is_set(&selector["matchExpressions"]) {
            errors.push(refused(&empty_words(kind)));
        }
    }
    let (template, template_at) = (&spec["template"], path.child("template"));
    let labels = &template["metadata"]["labels"];
    match LabelSelector::from_value(selector) {
        Ok(selector) => {
            if !selector.is_everything() && !selector.matches(labels) {
                let words = "`selector` does not match template `labels`";
                let at = template_at.child("metadata").child("labels");
                errors.push(FieldError::invalid(at, labels.clone(), words));
            }
        }
        Err(_) if kind == "DaemonSet" => {}
        Err(_) => {
            let words = if kind == "StatefulSet" { "" } else { "invalid label selector" };
            return errors.push(refused(words));
        }
    }
    if kind == "StatefulSet" {
        // What its pods become is looked at where that is new.
        let annotations = &template["metadata"]["annotations"];
        check::annotations(annotations, &template_at.child("annotations"), errors);
        podspec::annotations(annotations, &template["spec"], &template_at.child("annotations"), errors);
    } else {
        podspec::validate_template(template, &template_at, errors);
    }
    let runs_as = if kind == "Deployment" { "ReplicaSet" } else { kind };
    podspec::always_restarts(template, runs_as, &template_at, errors);
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
        other => {
            let told = dump::object("io.k8s.api.apps.v1.DeploymentStrategy", strategy);
            let types = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(at, other, &types).told_as(&told));
        }
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
        Value::String(given) => check::percent(given).unwrap_or_default() == 0,
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
            let told = dump::object("io.k8s.api.apps.v1.DaemonSetUpdateStrategy", strategy);
            let types = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(at, other, &types).told_as(&told));
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
    let at = path.child("podManagementPolicy");
    match text(&spec["podManagementPolicy"]) {
        "" => errors.push(FieldError::required(at, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid(at, other, "must be 'OrderedReady' or 'Parallel'")),
    }
    stateful_strategy(&spec["updateStrategy"], &path.child("updateStrategy"), errors);
    let at = path.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let policy = &spec["persistentVolumeClaimRetentionPolicy"][field];
        check::one_of(policy, &["Retain", "Delete"], &at.child(field), errors);
    }
    counts(spec, &["replicas", "minReadySeconds"], &path, errors);
    check::not_negative(&spec["ordinals"]["start"], &path.child("ordinals").child("start"), errors);
    pods(spec, "StatefulSet", &path, errors);
}

/// What stands in a new set; changes of it are let be where it was wrong before.
pub(super) fn new_stateful_set(set: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    let claims = path.child("volumeClaimTemplates");
    for (index, claim) in items(&spec["volumeClaimTemplates"]).iter().enumerate() {
        crate::core::volume::claim_spec(&claim["spec"], &claims.index(index).child("spec"), errors);
    }
    check::optional(&spec["serviceName"], names::dns_label, &path.child("serviceName"), errors);
    set_template(spec, errors);
}

/// The template of a set's pods, as the controller fills it in: its volumes are the claims', its host name is its own.
fn set_template(spec: &Value, errors: &mut FieldErrors) {
    let mut template = spec["template"].clone();
    if let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) {
        pod.remove("subdomain");
        pod.remove("hostname");
        let claims = items(&spec["volumeClaimTemplates"]);
        if !claims.is_empty() {
            let named = |claim: &Value| claim["metadata"]["name"].clone();
            // Of claims of one name the set makes one.
            let again = check::repeats(claims, |claim| [&claim["metadata"]["name"]]);
            let mut volumes: Vec<Value> = (claims.iter().enumerate())
                .filter(|(index, _)| again.binary_search(index).is_err())
                .map(|(_, claim)| json!({"name": named(claim), "persistentVolumeClaim": {"claimName": named(claim)}}))
                .collect();
            let own = items(&spec["template"]["spec"]["volumes"]).iter();
            volumes
                .extend(own.filter(|own| !claims.iter().any(|claim| named(claim) == own["name"])).cloned());
            pod.insert("volumes".into(), volumes.into());
        }
    }
    podspec::validate_template(&template, &Path::new("spec").child("template"), errors);
}

fn stateful_strategy(strategy: &Value, path: &Path, errors: &mut FieldErrors) {
    let (update, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(&strategy["type"]) {
        "" => errors.push(FieldError::required(path.clone(), "")),
        "OnDelete" if update.is_object() => {
            let words = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(at, update.clone(), words));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            check::not_negative(&update["partition"], &at.child("partition"), errors);
            let (most, at) = (&update["maxUnavailable"], at.child("maxUnavailable"));
            if !most.is_null() {
                check::int_or_percent(most, &at, errors);
                if is_zero(most) {
                    errors.push(FieldError::invalid(at.clone(), most.clone(), "cannot be 0"));
                }
                at_most_all(most, &at, errors);
            }
        }
        other => {
            let words = "must be 'RollingUpdate' or 'OnDelete'";
            let told = dump::object("io.k8s.api.apps.v1.StatefulSetUpdateStrategy", strategy);
            errors.push(FieldError::invalid(path.clone(), other, words).told_as(&told));
        }
    }
}

/// The selector of a workload stays.
fn selector_stays(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("selector");
    check::immutable(&new["spec"]["selector"], &old["spec"]["selector"], &at, errors);
}

pub(super) fn deployment_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 6] = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ];
    if context.subresource != "status" {
        return selector_stays(new, old, errors);
    }
    let status = &new["status"];
    counts(status, &COUNTS, &Path::new("status"), errors);
    collisions(status, &old["status"], errors);
    for (part, whole) in [
        ("updatedReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ] {
        let told = if whole == "replicas" { "status.replicas" } else { whole };
        not_more(status, part, whole, told, errors);
    }
}

pub(super) fn replica_set_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return check::replica_counts(&new["status"], errors);
    }
    selector_stays(new, old, errors);
}

pub(super) fn daemon_set_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 8] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    ];
    if context.subresource == "status" {
        counts(&new["status"], &COUNTS, &Path::new("status"), errors);
        return collisions(&new["status"], &old["status"], errors);
    }
    selector_stays(new, old, errors);
}

fn collisions(now: &Value, was: &Value, errors: &mut FieldErrors) {
    let (field, at) = ("collisionCount", Path::new("status").child("collisionCount"));
    check::not_negative(&now[field], &at, errors);
    if let Some(before) = was[field].as_i64()
        && int(&now[field]) < before
    {
        errors.push(FieldError::invalid(at, int(&now[field]), "cannot be decremented"));
    }
}

fn not_more(status: &Value, part: &str, whole: &str, told: &str, errors: &mut FieldErrors) {
    if int(&status[part]) > int(&status[whole]) {
        let words = format!("cannot be greater than {told}");
        errors.push(FieldError::invalid(Path::new("status").child(part), int(&status[part]), words));
    }
}

pub(super) fn stateful_set_changes(
    context: &Context<'_>,
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
    const PARTS: [&str; 4] = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    if context.subresource != "status" {
        if differ_but(&new["spec"], &old["spec"], &FREE) {
            errors.push(FieldError::forbidden(Path::new("spec"), SET_WORDS));
        }
        let mut before = FieldErrors::new();
        set_template(&old["spec"], &mut before);
        if before.is_empty() {
            set_template(&new["spec"], errors);
        }
        return;
    }
    let status = &new["status"];
    counts(status, &["replicas", "observedGeneration"], &Path::new("status"), errors);
    counts(status, &PARTS, &Path::new("status"), errors);
    collisions(status, &old["status"], errors);
    PARTS.iter().for_each(|part| not_more(status, part, "replicas", "status.replicas", errors));
    not_more(status, "availableReplicas", "readyReplicas", "status.readyReplicas", errors);
}

pub(super) fn revision(revision: &Value, errors: &mut FieldErrors) {
    check::not_negative(&int(&revision["revision"]).into(), &Path::new("revision"), errors);
}

pub(super) fn new_revision(revision: &Value, errors: &mut FieldErrors) {
    let words = match &revision["data"] {
        Value::Object(_) => return,
        Value::Null => "data is mandatory",
        _ => "data must be a valid JSON object",
    };
    errors.push(FieldError::required(Path::new("data"), words));
}

pub(super) fn revision_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    check::immutable(&new["data"], &old["data"], &Path::new("data"), errors);
}
