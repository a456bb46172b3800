//! Validation of Jobs and CronJobs. (`pkg/apis/batch/validation`)

use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::job::{CONTROLLER_UID, JOB_NAME};
use super::schedule;
use crate::strategy::Context;
use crate::value::{int, is_true, name, text};
use crate::{check, names, podspec};

const COUNTS: [&str; 5] =
    ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];

fn spec(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in COUNTS {
        check::not_negative(&spec[field], &path.child(field), errors);
    }
    let mode = &spec["completionMode"];
    check::one_of(mode, &["Indexed", "NonIndexed"], &path.child("completionMode"), errors);
    if mode == "Indexed" {
        if spec["completions"].is_null() {
            let words = "when completion mode is Indexed";
            errors.push(FieldError::required(path.child("completions"), words));
        }
        if int(&spec["parallelism"]) > 100_000 {
            let words = "must be less than or equal to 100000 when completion mode is Indexed";
            errors.push(FieldError::invalid(path.child("parallelism"), spec["parallelism"].clone(), words));
        }
    }
    let at = path.child("podReplacementPolicy");
    check::one_of(&spec["podReplacementPolicy"], &["Failed", "TerminatingOrFailed"], &at, errors);
    podspec::validate_template(&spec["template"], &path.child("template"), errors);
    let policy = text(&spec["template"]["spec"]["restartPolicy"]);
    let at = path.child("template").child("spec").child("restartPolicy");
    let supported = ["Never", "OnFailure"];
    if policy.is_empty() || policy == "Always" {
        let words = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(at, words));
    } else if !supported.contains(&policy) {
        errors.push(FieldError::not_supported(at, policy, &supported));
    } else if policy != "Never" && spec["podFailurePolicy"].is_object() {
        let words = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(FieldError::invalid(at, policy, words));
    }
}

pub(super) fn job(job: &Value, errors: &mut FieldErrors) {
    let (given, path) = (&job["spec"], Path::new("spec"));
    spec(given, &path, errors);
    let (selector, labels) = (&given["selector"], &given["template"]["metadata"]["labels"]);
    if selector.is_null() {
        errors.push(FieldError::required(path.child("selector"), ""));
        return;
    }
    check::selector(selector, &path.child("selector"), errors);
    if LabelSelector::from_value(selector).is_ok_and(|s| !s.matches(labels)) {
        let at = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(at, labels.clone(), "`selector` does not match template `labels`"));
    }
}

/// Labels that the server gives must not have been given otherwise.
pub(super) fn new_job(job: &Value, errors: &mut FieldErrors) {
    if is_true(&job["spec"]["manualSelector"]) {
        return;
    }
    let (labels, path) = (&job["spec"]["template"]["metadata"]["labels"], Path::new("spec"));
    let at = path.child("template").child("metadata").child("labels");
    let (uid, name) = (text(&job["metadata"]["uid"]), name(job));
    for (label, want) in
        [(CONTROLLER_UID, uid), (JOB_NAME, name), ("controller-uid", uid), ("job-name", name)]
    {
        if text(&labels[label]) != want {
            let words = format!("must be '{want}'");
            errors.push(FieldError::invalid(at.key(label), labels[label].clone(), words));
        }
    }
}

pub(super) fn job_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return;
    }
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    // The completions of an indexed job may follow its parallelism.
    if now["completionMode"] != "Indexed" || now["completions"] != now["parallelism"] {
        check::immutable(&now["completions"], &was["completions"], &path.child("completions"), errors);
    }
    let unstarted = is_true(&was["suspend"]) && old["status"]["startTime"].is_null();
    let mut fields =
        vec!["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"];
    if !unstarted {
        fields.push("template");
    }
    for field in fields {
        check::immutable(&now[field], &was[field], &path.child(field), errors);
    }
}

pub(super) fn cron_job(cron: &Value, errors: &mut FieldErrors) {
    let (given, path) = (&cron["spec"], Path::new("spec"));
    let (when, at) = (text(&given["schedule"]), path.child("schedule"));
    if when.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if when.contains("TZ") {
        let words = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(at, when, words));
    } else if let Some(fault) = schedule::fault(when) {
        errors.push(FieldError::invalid(at, when, fault));
    }
    if given["timeZone"] == "" {
        errors.push(FieldError::invalid(
            path.child("timeZone"),
            "",
            "timeZone must be nil or non-empty string",
        ));
    } else if text(&given["timeZone"]).eq_ignore_ascii_case("local") {
        let words = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(path.child("timeZone"), given["timeZone"].clone(), words));
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::not_negative(&given[field], &path.child(field), errors);
    }
    let policies = ["Allow", "Forbid", "Replace"];
    check::must_be_one_of(&given["concurrencyPolicy"], &policies, &path.child("concurrencyPolicy"), errors);
    let (template, at) = (&given["jobTemplate"], path.child("jobTemplate"));
    check::labels(&template["metadata"]["labels"], &at.child("metadata").child("labels"), errors);
    spec(&template["spec"], &at.child("spec"), errors);
    if !template["spec"]["selector"].is_null() {
        errors.push(FieldError::invalid(
            at.child("spec").child("selector"),
            template["spec"]["selector"].clone(),
            "`selector` will be auto-generated",
        ));
    }
    if is_true(&template["spec"]["manualSelector"]) {
        let at = at.child("spec").child("manualSelector");
        errors.push(FieldError::not_supported(at, true, &["nil", "false"]));
    }
    check::optional(&given["jobTemplate"]["spec"]["managedBy"], names::qualified, &at_managed(&path), errors);
}

fn at_managed(path: &Path) -> Path {
    path.child("jobTemplate").child("spec").child("managedBy")
}
