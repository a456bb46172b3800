//! Validation of CronJobs.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::schedule;
use crate::check;
use crate::strategy::Context;
use crate::value::{is_true, text};

const POLICIES: [&str; 3] = ["Allow", "Forbid", "Replace"];
const SCHEDULE_ZONE: &str = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";

pub(super) fn validate(cron: &Value, errors: &mut FieldErrors) {
    let (given, path) = (&cron["spec"], Path::new("spec"));
    let (when, at) = (text(&given["schedule"]), path.child("schedule"));
    if when.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if let Some(fault) = schedule::fault(without_zone(when)) {
        errors.push(FieldError::invalid(at, when, fault));
    }
    check::not_negative(&given["startingDeadlineSeconds"], &path.child("startingDeadlineSeconds"), errors);
    if let Some(zone) = given["timeZone"].as_str() {
        time_zone(zone, &path.child("timeZone"), errors);
    }
    check::must_be_one_of(&given["concurrencyPolicy"], &POLICIES, &path.child("concurrencyPolicy"), errors);
    job_template(&given["jobTemplate"], &path.child("jobTemplate"), errors);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::not_negative(&given[field], &path.child(field), errors);
    }
}

/// `TZ=Europe/Rome 0 4 * * *` as older servers took it.
fn without_zone(when: &str) -> &str {
    if !when.starts_with("TZ=") && !when.starts_with("CRON_TZ=") {
        return when;
    }
    when.split_once(' ').map_or("", |(_, rest)| rest)
}

fn has_zone(cron: &Value) -> bool {
    text(&cron["spec"]["schedule"]).contains("TZ")
}

pub(super) fn new(cron: &Value, errors: &mut FieldErrors) {
    if has_zone(cron) {
        let (at, when) = (Path::new("spec").child("schedule"), text(&cron["spec"]["schedule"]));
        errors.push(FieldError::invalid(at, when, SCHEDULE_ZONE));
    }
}

/// A time zone in the schedule is left to those who have it.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" || !has_zone(new) {
        return;
    }
    let (at, when) = (Path::new("spec").child("schedule"), text(&new["spec"]["schedule"]));
    if !has_zone(old) {
        errors.push(FieldError::invalid(at, when, SCHEDULE_ZONE));
    } else if !new["spec"]["timeZone"].is_null() {
        let words = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(FieldError::invalid(at, when, words));
    }
}

fn time_zone(zone: &str, path: &Path, errors: &mut FieldErrors) {
    let words = if zone.is_empty() {
        "timeZone must be nil or non-empty string".to_string()
    } else if zone.eq_ignore_ascii_case("local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_string()
    } else if !jiff::tz::db().is_definitively_empty() && jiff::tz::db().get(zone).is_err() {
        format!("unknown time zone {zone}")
    } else {
        return;
    };
    errors.push(FieldError::invalid(path.clone(), zone, words));
}

fn job_template(template: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("spec");
    super::validate::spec(&template["spec"], &at, errors);
    if !template["spec"]["selector"].is_null() {
        let told = template["spec"]["selector"].clone();
        errors.push(FieldError::invalid(at.child("selector"), told, "`selector` will be auto-generated"));
    }
    if is_true(&template["spec"]["manualSelector"]) {
        errors.push(FieldError::not_supported(at.child("manualSelector"), true, &["nil", "false"]));
    }
}

pub(super) fn warn(cron: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    crate::template::warn(cron, old, super::CRON_TEMPLATE, true, warnings);
    if has_zone(cron) {
        warnings.push(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .into(),
        );
    }
}
