//! What is counted here, under upstream's names.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use oarlock_apiserver_access::Operation;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

const WEBHOOK_BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    durations: HistogramVec,
    requests: IntCounterVec,
    rejections: IntCounterVec,
    failed_open: IntCounterVec,
    excluded: IntCounterVec,
    condition_errors: IntCounterVec,
    validating_checks: IntCounterVec,
    mutating_checks: IntCounterVec,
    compilations: Histogram,
    evaluations: Histogram,
}

/// Has everything of this crate printed with the registry's metrics.
pub fn register_metrics(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(METRICS.durations.clone()))?;
    registry.register(Box::new(METRICS.compilations.clone()))?;
    registry.register(Box::new(METRICS.evaluations.clone()))?;
    for counter in METRICS.counters() {
        registry.register(Box::new(counter.clone()))?;
    }
    Ok(())
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("the name and labels are constants")
}

fn histogram(name: &str, help: &str) -> Histogram {
    Histogram::with_opts(HistogramOpts::new(name, help)).expect("the name is a constant")
}

impl Metrics {
    fn new() -> Self {
        let hook = |more: &[&'static str]| [&["name", "type", "operation"], more].concat();
        let check = ["policy", "policy_binding", "error_type", "enforcement_action"];
        let condition = ["name", "kind", "type", "operation"];
        let durations = HistogramOpts::new(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API \
             resource and type (validate or admit).",
        )
        .buckets(WEBHOOK_BUCKETS.to_vec());
        Self {
            durations: HistogramVec::new(durations, &hook(&["rejected"]))
                .expect("the name and labels are constants"),
            requests: counter(
                "apiserver_admission_webhook_request_total",
                "Admission webhook request total, identified by name and broken out for each admission type (validating or \
                 mutating) and operation. Additional labels specify whether the request was rejected or not and an HTTP \
                 status code.",
                &hook(&["code", "rejected"]),
            ),
            rejections: counter(
                "apiserver_admission_webhook_rejection_count",
                "Admission webhook rejection count, identified by name and broken out for each admission type (validating \
                 or admit) and operation. Additional labels specify an error type (calling_webhook_error or \
                 apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code.",
                &hook(&["error_type", "rejection_code"]),
            ),
            failed_open: counter(
                "apiserver_admission_webhook_fail_open_count",
                "Admission webhook fail open count, identified by name and broken out for each admission type (validating \
                 or admit).",
                &["name", "type"],
            ),
            excluded: counter(
                "apiserver_admission_match_condition_exclusions_total",
                "Admission match condition evaluation exclusions count, identified by name of resource containing the match \
                 condition and broken out for each kind containing matchConditions (webhook or policy), operation and \
                 admission type (validate or admit).",
                &condition,
            ),
            condition_errors: counter(
                "apiserver_admission_match_condition_evaluation_errors_total",
                "Admission match condition evaluation errors count, identified by name of resource containing the match \
                 condition and broken out for each kind containing matchConditions (webhook or policy), operation and \
                 admission type (validate or admit).",
                &condition,
            ),
            validating_checks: counter(
                "apiserver_validating_admission_policy_check_total",
                "Validation admission policy check total, labeled by policy and further identified by binding and \
                 enforcement action taken.",
                &check,
            ),
            mutating_checks: counter(
                "apiserver_mutating_admission_policy_check_total",
                "Mutation admission policy check total, labeled by policy and further identified by binding and error type.",
                &check[..3],
            ),
            compilations: histogram(
                "apiserver_cel_compilation_duration_seconds",
                "[BETA] How long expressions took to compile, in seconds.",
            ),
            evaluations: histogram(
                "apiserver_cel_evaluation_duration_seconds",
                "[BETA] How long expressions took to evaluate, in seconds.",
            ),
        }
    }

    fn counters(&self) -> [&IntCounterVec; 7] {
        [
            &self.requests,
            &self.rejections,
            &self.failed_open,
            &self.excluded,
            &self.condition_errors,
            &self.validating_checks,
            &self.mutating_checks,
        ]
    }
}

/// Compiles an expression, and tells how long that took.
pub(crate) fn timed_compilation<T>(compile: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = compile();
    METRICS.compilations.observe(began.elapsed().as_secs_f64());
    done
}

/// The same of an evaluation.
pub(crate) fn timed_evaluation<T>(evaluate: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = evaluate();
    METRICS.evaluations.observe(began.elapsed().as_secs_f64());
    done
}

/// `mutating` or not, as the labels of webhooks say it.
fn kind(mutating: bool) -> &'static str {
    if mutating { "admit" } else { "validating" }
}

pub(crate) fn operation_text(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// How one call of a webhook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Allowed,
    /// With the code of the refusal.
    Refused(u16),
    /// The call failed with this code, and its failure policy refuses.
    Failed(u16),
    FailedOpen(u16),
    /// What it answered cannot be used, or it was not called at all.
    Unusable(u16),
}

pub(crate) fn webhook(name: &str, mutating: bool, operation: Operation, took: Duration, ended: Ended) {
    let (kind, operation) = (kind(mutating), operation_text(operation));
    let (code, rejected, error) = match ended {
        Ended::Allowed => (200, false, None),
        Ended::FailedOpen(code) => (code, false, None),
        Ended::Refused(code) => (code, true, Some(("no_error", code))),
        Ended::Failed(code) => (code, true, Some(("calling_webhook_error", 0))),
        Ended::Unusable(code) => (code, true, Some(("apiserver_internal_error", 0))),
    };
    let told = if rejected { "true" } else { "false" };
    METRICS.durations.with_label_values(&[name, kind, operation, told]).observe(took.as_secs_f64());
    METRICS.requests.with_label_values(&[name, kind, operation, &code.to_string(), told]).inc();
    if let Some((error, code)) = error {
        METRICS.rejections.with_label_values(&[name, kind, operation, error, &code.to_string()]).inc();
    }
    if matches!(ended, Ended::FailedOpen(_)) {
        METRICS.failed_open.with_label_values(&[name, kind]).inc();
    }
}

/// What holds match conditions, as their labels say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    pub(crate) name: &'a str,
    /// `webhook` or `policy`
    pub(crate) kind: &'static str,
    pub(crate) mutating: bool,
}

impl Holder<'_> {
    fn labels(&self, operation: Operation) -> [&str; 4] {
        let kind = match (self.kind, self.mutating) {
            ("policy", true) => "mutate",
            ("policy", false) => "validate",
            (_, mutating) => kind(mutating),
        };
        [self.name, self.kind, kind, operation_text(operation)]
    }

    pub(crate) fn excluded(&self, operation: Operation) {
        METRICS.excluded.with_label_values(&self.labels(operation)).inc();
    }

    pub(crate) fn failed(&self, operation: Operation) {
        METRICS.condition_errors.with_label_values(&self.labels(operation)).inc();
    }
}

/// `action`: allow, deny, warn or audit.
pub(crate) fn validating_policy(policy: &str, binding: &str, failed: bool, action: &str) {
    let error = if failed { "invalid_error" } else { "no_error" };
    METRICS.validating_checks.with_label_values(&[policy, binding, error, action]).inc();
}

pub(crate) fn mutating_policy(policy: &str, binding: &str, failed: bool) {
    let error = if failed { "invalid_error" } else { "no_error" };
    METRICS.mutating_checks.with_label_values(&[policy, binding, error]).inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_as_upstream_counts_them() {
        let registry = Registry::new();
        register_metrics(&registry).expect("registered once");
        webhook("m.test", true, Operation::Create, Duration::from_millis(1), Ended::Refused(403));
        webhook("m.test", true, Operation::Create, Duration::from_millis(1), Ended::FailedOpen(503));
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            "apiserver_admission_webhook_rejection_count{error_type=\"no_error\",name=\"m.test\",operation=\"CREATE\",\
             rejection_code=\"403\",type=\"admit\"} 1",
            "apiserver_admission_webhook_fail_open_count{name=\"m.test\",type=\"admit\"} 1",
            "apiserver_admission_webhook_request_total{code=\"503\",name=\"m.test\",operation=\"CREATE\",\
             rejected=\"false\",type=\"admit\"} 1",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
    }
}
