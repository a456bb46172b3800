//! The rows of the batch group.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{
    NONE, age, has_condition, human_duration, joined, name_of, selector, since, text_or, time_of,
};
use crate::value::{int, items, text};

pub(super) fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&job["spec"], &job["status"]);
    let containers = &spec["template"]["spec"]["containers"];
    let done = int(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), int(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel @ 2..) => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    };
    let end = time_of(&status["completionTime"]).unwrap_or(now);
    let took = time_of(&status["startTime"]).map(|start| human_duration(end.as_second() - start.as_second()));
    vec![
        name_of(job),
        state(job).into(),
        completions.into(),
        took.unwrap_or_default().into(),
        age(job, now),
        joined(containers, "name"),
        joined(containers, "image"),
        selector(&spec["selector"]),
    ]
}

fn state(job: &Value) -> &'static str {
    let has = |kind: &str| has_condition(job, kind);
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if !job["metadata"]["deletionTimestamp"].is_null() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

pub(super) fn cron_job(cron: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&cron["spec"], &cron["status"]);
    let job = &spec["jobTemplate"]["spec"];
    let containers = &job["template"]["spec"]["containers"];
    let last = match text(&status["lastScheduleTime"]) {
        "" => NONE.to_string(),
        _ => since(&status["lastScheduleTime"], now),
    };
    let suspend = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    vec![
        name_of(cron),
        text(&spec["schedule"]).into(),
        text_or(&spec["timeZone"], NONE),
        suspend.into(),
        items(&status["active"]).len().into(),
        last.into(),
        age(cron, now),
        joined(containers, "name"),
        joined(containers, "image"),
        selector(&job["selector"]),
    ]
}
