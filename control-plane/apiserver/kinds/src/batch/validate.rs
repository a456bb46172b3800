//! Validation of Jobs. (`pkg/apis/batch/validation`)

use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::job::{CONTROLLER_UID, JOB_NAME};
use super::policies;
use crate::strategy::Context;
use crate::value::{differ_but, int, is_true, items, name, text};
use crate::{check, names, podspec};

const COUNTS: [&str; 7] = [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];
const MODES: [&str; 2] = ["NonIndexed", "Indexed"];
const RESTARTS: [&str; 2] = ["OnFailure", "Never"];
const REPLACEMENTS: [&str; 2] = ["Failed", "TerminatingOrFailed"];
const INDEXES_MAX: i64 = 100_000;
/// Of jobs with more completions than that, and a limit for each of them.
const HIGH_MAX: i64 = 10_000;
const MANAGED_BY_MAX: usize = 63;

/// The spec of a Job, also in the template of a CronJob.
pub(super) fn spec(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in COUNTS {
        check::not_negative(&spec[field], &path.child(field), errors);
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let at = path.child("backoffLimitPerIndex");
        errors.push(FieldError::required(at, "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        let at = path.child("managedBy");
        check::domain_path(manager, &at, errors);
        if manager.len() > MANAGED_BY_MAX {
            errors.push(FieldError::too_long(at, MANAGED_BY_MAX));
        }
    }
    check::given_one_of(&spec["completionMode"], &MODES, &path.child("completionMode"), errors);
    if spec["completionMode"] == "Indexed" {
        indexed(spec, path, errors);
    } else if spec["completionMode"].is_null() || spec["completionMode"] == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"].iter().filter(|f| !spec[**f].is_null()) {
            let words = "requires indexed completion mode";
            errors.push(FieldError::invalid(path.child(field), spec[*field].clone(), words));
        }
    }
    policies::validate(spec, path, errors);
    let replacement = path.child("podReplacementPolicy");
    let supported = if spec["podFailurePolicy"].is_object() { &REPLACEMENTS[..1] } else { &REPLACEMENTS };
    check::given_one_of(&spec["podReplacementPolicy"], supported, &replacement, errors);
    podspec::validate_template(&spec["template"], &path.child("template"), errors);
    restarts(spec, &path.child("template").child("spec").child("restartPolicy"), errors);
}

fn restarts(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let policy = text(&spec["template"]["spec"]["restartPolicy"]);
    if policy.is_empty() || policy == "Always" {
        errors.push(FieldError::required(path.clone(), "valid values: \"OnFailure\", \"Never\""));
    } else if !RESTARTS.contains(&policy) {
        errors.push(FieldError::not_supported(path.clone(), policy, &RESTARTS));
    } else if policy != "Never" && spec["podFailurePolicy"].is_object() {
        let words = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(FieldError::invalid(path.clone(), policy, words));
    }
}

fn indexed(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (completions, failed) = (spec["completions"].as_i64(), spec["maxFailedIndexes"].as_i64());
    let parallelism = int(&spec["parallelism"]);
    if completions.is_none() {
        errors.push(FieldError::required(path.child("completions"), "when completion mode is Indexed"));
    }
    let mut refuse = |field: &str, told: i64, words: String| {
        errors.push(FieldError::invalid(path.child(field), told, words));
    };
    if parallelism > INDEXES_MAX {
        let words = format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed");
        refuse("parallelism", parallelism, words);
    }
    if let Some(failed) = failed {
        if completions.is_some_and(|completions| failed > completions) {
            refuse("maxFailedIndexes", failed, "must be less than or equal to completions".into());
        }
        if failed > INDEXES_MAX {
            refuse("maxFailedIndexes", failed, format!("must be less than or equal to {INDEXES_MAX}"));
        }
    }
    if completions.is_none_or(|n| n <= INDEXES_MAX) || spec["backoffLimitPerIndex"].is_null() {
        return;
    }
    let words = format!(
        "must be less than or equal to {HIGH_MAX} when completions are above {INDEXES_MAX} and used with backoff limit per index"
    );
    if parallelism > HIGH_MAX {
        refuse("parallelism", parallelism, words.clone());
    }
    match failed {
        Some(failed) if failed > HIGH_MAX => refuse("maxFailedIndexes", failed, words),
        Some(_) => {}
        None => {
            let words = format!("must be specified when completions is above {INDEXES_MAX}");
            errors.push(FieldError::required(path.child("maxFailedIndexes"), words));
        }
    }
}

pub(super) fn job(job: &Value, errors: &mut FieldErrors) {
    let (given, path) = (&job["spec"], Path::new("spec"));
    generated_selector(job, errors);
    spec(given, &path, errors);
    let (selector, labels) = (&given["selector"], &given["template"]["metadata"]["labels"]);
    if selector.is_null() {
        errors.push(FieldError::required(path.child("selector"), ""));
    } else {
        check::selector(selector, &path.child("selector"), errors);
    }
    if LabelSelector::from_value(selector).is_ok_and(|s| !s.matches(labels)) {
        let at = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(at, labels.clone(), "`selector` does not match template `labels`"));
    }
}

/// The pods of an indexed job are named after it and the index.
pub(super) fn new_job(job: &Value, errors: &mut FieldErrors) {
    if job["spec"]["completionMode"] == "Indexed"
        && let Some(completions) = job["spec"]["completions"].as_i64().filter(|n| *n > 0)
    {
        let longest = format!("{}-{}", name(job), completions - 1);
        if !names::dns_label(&longest).is_empty() {
            let words = format!("will not able to create pod with invalid DNS label: {longest}");
            errors.push(FieldError::invalid(Path::new("metadata").child("name"), name(job), words));
        }
    }
}

/// Labels that the server gives must not have been given otherwise.
fn generated_selector(job: &Value, errors: &mut FieldErrors) {
    if is_true(&job["spec"]["manualSelector"]) || job["spec"]["selector"].is_null() {
        return;
    }
    let (labels, path) = (&job["spec"]["template"]["metadata"]["labels"], Path::new("spec"));
    let at = path.child("template").child("metadata").child("labels");
    let (uid, name) = (text(&job["metadata"]["uid"]), name(job));
    if uid.is_empty() {
        errors.push(FieldError::required(Path::new("metadata").child("uid"), ""));
    }
    for (label, want) in
        [("controller-uid", uid), ("job-name", name), (CONTROLLER_UID, uid), (JOB_NAME, name)]
    {
        let words = || format!("must be '{want}'");
        match labels[label].as_str() {
            None => errors.push(FieldError::required(at.key(label), words())),
            Some(given) if given != want => {
                errors.push(FieldError::invalid(at.key(label), labels.clone(), words()));
            }
            Some(_) => {}
        }
    }
    let selected = &job["spec"]["selector"]["matchLabels"];
    if selected[CONTROLLER_UID] != uid && selected["controller-uid"] != uid {
        let selector = job["spec"]["selector"].clone();
        errors.push(FieldError::invalid(path.child("selector"), selector, "`selector` not auto-generated"));
    }
}

pub(super) fn job_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return super::status::changes(new, old, errors);
    }
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    completions(now, was, &path.child("completions"), errors);
    check::immutable(&now["selector"], &was["selector"], &path.child("selector"), errors);
    let free = may_be_rescheduled(old);
    if template_differs(now, was, free) {
        // Of a suspended job it is the spec of the pods that is told.
        let at = if free { path.child("template.spec") } else { path.child("template") };
        let told = if free { &now["template"]["spec"] } else { &now["template"] };
        errors.push(FieldError::invalid(at, told.clone(), check::IMMUTABLE));
    }
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        check::immutable(&now[field], &was[field], &path.child(field), errors);
    }
}

/// The completions of an indexed job may follow its parallelism.
fn completions(now: &Value, was: &Value, path: &Path, errors: &mut FieldErrors) {
    let (new, old) = (&now["completions"], &was["completions"]);
    if now["completionMode"] != "Indexed" || new.is_null() || old.is_null() {
        return check::immutable(new, old, path, errors);
    }
    if new != old && *new != now["parallelism"] {
        let words = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(path.clone(), new.clone(), words));
    }
}

/// While nothing of a suspended job runs, it may be told where its pods go and what they get.
fn may_be_rescheduled(old: &Value) -> bool {
    let suspended = items(&old["status"]["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Suspended" && condition["status"] == "True");
    is_true(&old["spec"]["suspend"]) && (old["status"]["startTime"].is_null() || suspended)
}

fn template_differs(now: &Value, was: &Value, free: bool) -> bool {
    const FREE: [&str; 6] =
        ["nodeSelector", "tolerations", "schedulingGates", "affinity", "containers", "initContainers"];
    let (now, was) = (&now["template"], &was["template"]);
    if !free {
        return now != was;
    }
    let containers = |list: &str| {
        let (now, was) = (items(&now["spec"][list]), items(&was["spec"][list]));
        now.len() != was.len() || now.iter().zip(was).any(|(a, b)| differ_but(a, b, &["resources"]))
    };
    differ_but(now, was, &["metadata", "spec"])
        || differ_but(&now["metadata"], &was["metadata"], &["labels", "annotations"])
        || differ_but(&now["spec"], &was["spec"], &FREE)
        || differ_but(&now["spec"]["affinity"], &was["spec"]["affinity"], &["nodeAffinity"])
        || containers("containers")
        || containers("initContainers")
}
