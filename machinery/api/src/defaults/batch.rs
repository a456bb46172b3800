//! batch.

use serde_json::{Map, Value};

use super::core::take_labels;
use super::{Conditional, Constant, absent, ensure, member, set};

pub(super) const CONSTANTS: &[Constant] = &[
    ("batch.v1.CronJobSpec", "concurrencyPolicy", r#""Allow""#),
    ("batch.v1.CronJobSpec", "suspend", "false"),
    ("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", "3"),
    ("batch.v1.CronJobSpec", "failedJobsHistoryLimit", "1"),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status", r#""True""#),
];

pub(super) const CONDITIONALS: &[Conditional] = &[("batch.v1.Job", job)];

/// A Job, but not the template of a CronJob.
fn job(job: &mut Map<String, Value>) {
    let Some(spec) = ensure(job, "spec") else { return };
    if absent(spec, "completions") && absent(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let limit = if absent(spec, "backoffLimitPerIndex") { 6 } else { i32::MAX };
    set(spec, "backoffLimit", limit);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    let replacement = if absent(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    set(spec, "podReplacementPolicy", replacement);
    set(spec, "manualSelector", false);
    let labels =
        member(spec, "template").and_then(|t| member(t, "metadata")).and_then(|m| member(m, "labels"));
    if let Some(labels) = labels.cloned() {
        take_labels(job, labels);
    }
}
