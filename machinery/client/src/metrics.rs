//! The metrics of work queues and leader election, under upstream's names.
//!
//! They live once per process, told apart by the queue's name, as upstream's do; the binary registers them where it
//! serves `/metrics` from.

use std::sync::LazyLock;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

pub(crate) struct QueueMetrics {
    pub(crate) depth: IntGaugeVec,
    pub(crate) adds: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) queue_seconds: HistogramVec,
    pub(crate) work_seconds: HistogramVec,
    pub(crate) leader: GaugeVec,
}

pub(crate) static METRICS: LazyLock<QueueMetrics> = LazyLock::new(|| {
    const HOLDS: &str = "the metric's name and labels are valid";
    let buckets = exponential_buckets(10e-9, 10.0, 10).expect("a positive start and a factor above one");
    let histogram = |name: &str, help: &str| {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.clone()), &["name"]).expect(HOLDS)
    };
    let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["name"]).expect(HOLDS);
    QueueMetrics {
        depth: IntGaugeVec::new(Opts::new("workqueue_depth", "Current depth of workqueue"), &["name"])
            .expect(HOLDS),
        adds: counter("workqueue_adds_total", "Total number of adds handled by workqueue"),
        retries: counter("workqueue_retries_total", "Total number of retries handled by workqueue"),
        queue_seconds: histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
        ),
        work_seconds: histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
        ),
        leader: GaugeVec::new(
            Opts::new("leader_election_master_status", "Whether this process leads, 1, or waits, 0."),
            &["name"],
        )
        .expect(HOLDS),
    }
});

/// Registers this crate's metrics. Once per registry.
pub fn register_metrics(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(METRICS.depth.clone()))?;
    registry.register(Box::new(METRICS.adds.clone()))?;
    registry.register(Box::new(METRICS.retries.clone()))?;
    registry.register(Box::new(METRICS.queue_seconds.clone()))?;
    registry.register(Box::new(METRICS.work_seconds.clone()))?;
    registry.register(Box::new(METRICS.leader.clone()))
}
