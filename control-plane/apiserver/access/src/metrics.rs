//! What is counted here, under upstream's names.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::admission::{Level, LevelVersion, PolicyVersion};
use crate::types::{AdmissionRequest, Operation};

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct AccessMetrics {
    evaluations: IntCounterVec,
    exemptions: IntCounterVec,
    errors: IntCounterVec,
    authentications: IntCounterVec,
    pub(crate) admission_plugins: HistogramVec,
    pub(crate) admission_steps: HistogramVec,
}

impl Default for AccessMetrics {
    fn default() -> Self {
        Self::new()
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("the name and labels are constants")
}

/// Upstream's for admission, in seconds.
const ADMISSION_BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(ADMISSION_BUCKETS.to_vec());
    HistogramVec::new(options, labels).expect("the name and labels are constants")
}

impl AccessMetrics {
    pub fn new() -> Self {
        let request = ["request_operation", "resource", "subresource"];
        let with = |more: &[&'static str]| [more, &request].concat();
        Self {
            evaluations: counter(
                "pod_security_evaluations_total",
                "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
                &with(&["decision", "mode", "policy_level", "policy_version"]),
            ),
            exemptions: counter(
                "pod_security_exemptions_total",
                "Number of exempt requests, not counting ignored or out of scope requests.",
                &with(&[]),
            ),
            errors: counter(
                "pod_security_errors_total",
                "Number of errors preventing normal evaluation.",
                &with(&["fatal"]),
            ),
            authentications: counter(
                "authentication_attempts",
                "Counter of authenticated attempts.",
                &["result"],
            ),
            admission_plugins: histogram(
                "apiserver_admission_controller_admission_duration_seconds",
                "[STABLE] How long each admission plugin took, by operation, outcome and half.",
                &["name", "operation", "rejected", "type"],
            ),
            admission_steps: histogram(
                "apiserver_admission_step_admission_duration_seconds",
                "[STABLE] How long each half of admission took, by operation and outcome.",
                &["operation", "rejected", "type"],
            ),
        }
    }

    /// Has everything printed with the registry's metrics.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for counter in [&self.evaluations, &self.exemptions, &self.errors, &self.authentications] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.admission_plugins.clone()))?;
        registry.register(Box::new(self.admission_steps.clone()))?;
        Ok(())
    }

    /// `success`, `failure` or `error`.
    pub(crate) fn authenticated(&self, result: &'static str) {
        self.authentications.with_label_values(&[result]).inc();
    }

    pub(crate) fn evaluated(
        &self,
        request: &AdmissionRequest<'_>,
        denied: bool,
        mode: &str,
        policy: LevelVersion,
    ) {
        let version = match policy.version {
            // Upstream bounds the label: what is newer than the server is told as one.
            PolicyVersion::Minor(minor) if minor > 36 => "future".to_string(),
            version => version.to_string(),
        };
        let level = match policy.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        let decision = if denied { "deny" } else { "allow" };
        let [operation, resource, subresource] = labels(request);
        self.evaluations
            .with_label_values(&[decision, mode, level, version.as_str(), operation, resource, subresource])
            .inc();
    }

    pub(crate) fn exempted(&self, request: &AdmissionRequest<'_>) {
        self.exemptions.with_label_values(&labels(request)).inc();
    }

    pub(crate) fn failed(&self, request: &AdmissionRequest<'_>) {
        let [operation, resource, subresource] = labels(request);
        self.errors.with_label_values(&["false", operation, resource, subresource]).inc();
    }
}

fn labels<'a>(request: &'a AdmissionRequest<'_>) -> [&'a str; 3] {
    let operation = if request.operation == Operation::Create { "create" } else { "update" };
    let resource = match &*request.resource.resource {
        "pods" => "pod",
        "namespaces" => "namespace",
        _ => "controller",
    };
    let subresource = if request.subresource == "ephemeralcontainers" { "ephemeralcontainers" } else { "" };
    [operation, resource, subresource]
}
