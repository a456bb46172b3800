//! What the scheduler measures, under upstream's names.

use std::time::Duration;

use oarlock_telemetry::Metrics;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, exponential_buckets,
};

use crate::queue::Lengths;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Scheduled,
    Unschedulable,
    Error,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

pub(crate) struct SchedulerMetrics {
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    algorithm_seconds: prometheus::Histogram,
    sli_seconds: HistogramVec,
    pod_attempts: prometheus::Histogram,
    pub(crate) incoming: IntCounterVec,
    active: IntGauge,
    backoff: IntGauge,
    unschedulable: IntGauge,
    gated: IntGauge,
    cached_nodes: IntGauge,
    cached_pods: IntGauge,
}

const HOLDS: &str = "the metric's name and labels are valid";

impl SchedulerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let buckets = |start: f64, count| {
            exponential_buckets(start, 2.0, count).expect("a positive start, a factor above one")
        };
        let opts = |name: &str, help: &str, start, count| {
            HistogramOpts::new(name, help).buckets(buckets(start, count))
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            metrics.register(IntCounterVec::new(Opts::new(name, help), labels).expect(HOLDS))
        };
        let gauge = |name: &str, help: &str, label: &str| {
            metrics.register(IntGaugeVec::new(Opts::new(name, help), &[label]).expect(HOLDS))
        };
        let histogram = |opts: HistogramOpts, labels: &[&str]| {
            metrics.register(HistogramVec::new(opts, labels).expect(HOLDS))
        };
        let single =
            |opts: HistogramOpts| metrics.register(prometheus::Histogram::with_opts(opts).expect(HOLDS));
        let pending = gauge(
            "scheduler_pending_pods",
            "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
            "queue",
        );
        let cached = gauge(
            "scheduler_cache_size",
            "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            "type",
        );
        Self {
            attempts: counter(
                "scheduler_schedule_attempts_total",
                "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
                &["profile", "result"],
            ),
            attempt_seconds: histogram(
                opts(
                    "scheduler_scheduling_attempt_duration_seconds",
                    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                    0.001,
                    15,
                ),
                &["profile", "result"],
            ),
            algorithm_seconds: single(opts(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency in seconds",
                0.001,
                15,
            )),
            sli_seconds: histogram(
                opts(
                    "scheduler_pod_scheduling_sli_duration_seconds",
                    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
                    0.01,
                    20,
                ),
                &["attempts"],
            ),
            pod_attempts: single(opts(
                "scheduler_pod_scheduling_attempts",
                "Number of attempts to successfully schedule a pod.",
                1.0,
                5,
            )),
            incoming: counter(
                "scheduler_queue_incoming_pods_total",
                "Number of pods added to scheduling queues by event and queue type.",
                &["event", "queue"],
            ),
            active: pending.with_label_values(&["active"]),
            backoff: pending.with_label_values(&["backoff"]),
            unschedulable: pending.with_label_values(&["unschedulable"]),
            gated: pending.with_label_values(&["gated"]),
            cached_nodes: cached.with_label_values(&["nodes"]),
            cached_pods: cached.with_label_values(&["pods"]),
        }
    }

    pub(crate) fn pending(&self, lengths: Lengths) {
        let set = |gauge: &IntGauge, length: usize| gauge.set(i64::try_from(length).unwrap_or(i64::MAX));
        set(&self.active, lengths.active);
        set(&self.backoff, lengths.backoff);
        set(&self.unschedulable, lengths.unschedulable);
        set(&self.gated, lengths.gated);
    }

    pub(crate) fn cached(&self, (nodes, pods): (usize, usize)) {
        self.cached_nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
        self.cached_pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(crate) fn algorithm(&self, took: Duration) {
        self.algorithm_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn attempt(&self, profile: &str, outcome: Outcome, took: Duration) {
        let labels = [profile, outcome.label()];
        self.attempts.with_label_values(&labels).inc();
        self.attempt_seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// A pod is bound, so long after it could first have been.
    pub(crate) fn bound(&self, attempts: u32, took: Duration) {
        self.pod_attempts.observe(f64::from(attempts));
        let attempts = if attempts >= 16 { "16+".into() } else { attempts.to_string() };
        self.sli_seconds.with_label_values(&[&attempts]).observe(took.as_secs_f64());
    }
}
