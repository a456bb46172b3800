//! Counters under upstream's names.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, Opts};

/// What encryption counts; [`collectors`](Self::collectors) are for the server's registry.
#[derive(Clone)]
pub struct Metrics {
    operations: IntCounterVec,
    reloads: IntCounterVec,
    last_reload: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let valid = "the name and labels are constants";
        Self {
            operations: IntCounterVec::new(
                Opts::new(
                    "apiserver_storage_transformation_operations_total",
                    "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails.",
                ),
                &["resource", "status", "transformation_type", "transformer_prefix"],
            )
            .expect(valid),
            reloads: IntCounterVec::new(
                Opts::new(
                    "apiserver_encryption_config_controller_automatic_reloads_total",
                    "Total number of reload successes and failures of encryption configuration.",
                ),
                &["status"],
            )
            .expect(valid),
            last_reload: Gauge::new(
                "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
                "Timestamp of the last successful or failed automatic reload of encryption configuration.",
            )
            .expect(valid),
        }
    }

    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.operations.clone()),
            Box::new(self.reloads.clone()),
            Box::new(self.last_reload.clone()),
        ]
    }

    pub(crate) fn operations(&self, resource: &str, kind: &str, prefix: &str, status: &str) -> IntCounter {
        self.operations.with_label_values(&[resource, status, kind, prefix])
    }

    #[cfg(test)]
    pub(crate) fn reloads(&self, status: &str) -> u64 {
        self.reloads.with_label_values(&[status]).get()
    }

    pub(crate) fn reloaded(&self, well: bool, at_seconds: f64) {
        self.reloads.with_label_values(&[if well { "success" } else { "failure" }]).inc();
        self.last_reload.set(at_seconds);
    }
}
