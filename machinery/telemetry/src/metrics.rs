//! One registry per process, printed in Prometheus' text format. Names and labels are upstream's.

use std::sync::{Arc, LazyLock};

use prometheus::core::Collector;
use prometheus::{Encoder as _, Registry, TextEncoder};

/// Upstream's buckets for request durations, in seconds.
pub const DURATION_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// Where a component registers what it measures. Clones share one registry.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Registry>);

static GLOBAL: LazyLock<Metrics> = LazyLock::new(Metrics::default);

impl Metrics {
    /// The process's registry.
    pub fn global() -> &'static Self {
        &GLOBAL
    }

    /// A registry of its own, for tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// For crates that register by themselves.
    pub fn registry(&self) -> &Registry {
        &self.0
    }

    /// Registers `collector` and gives it back. One that has been registered already (two instances of a component in one
    /// process) stays usable, but only the first is printed.
    pub fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        if let Err(e) = self.0.register(Box::new(collector.clone())) {
            tracing::debug!(error = %e, "metric registered before");
        }
        collector
    }

    /// All that is registered, in the text format.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * 1024);
        if let Err(e) = TextEncoder::new().encode(&self.0.gather(), &mut out) {
            tracing::error!(error = %e, "metrics cannot be printed");
            out.clear();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_printed() {
        let metrics = Metrics::new();
        let counter = metrics
            .register(prometheus::IntCounter::new("requests_total", "Requests.").expect("a valid name"));
        counter.inc_by(3);
        let text = String::from_utf8(metrics.encode()).expect("text");
        assert!(text.contains("requests_total 3"), "{text}");
    }
}
