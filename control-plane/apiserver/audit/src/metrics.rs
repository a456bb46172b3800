//! What audit counts, under upstream's names.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};

use crate::policy::Level;

/// [`collectors`](Self::collectors) are for the server's registry.
#[derive(Clone)]
pub struct Metrics {
    events: IntCounter,
    levels: IntCounterVec,
    by_level: [IntCounter; Level::ALL.len()],
    errors: IntCounterVec,
    rejected: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let valid = "the name and labels are constants";
        let levels = IntCounterVec::new(
            Opts::new(
                "apiserver_audit_level_total",
                "Counter of policy levels for audit events (1 per request).",
            ),
            &["level"],
        )
        .expect(valid);
        Self {
            events: IntCounter::new(
                "apiserver_audit_event_total",
                "Counter of audit events generated and sent to the audit backend.",
            )
            .expect(valid),
            by_level: Level::ALL.map(|level| levels.with_label_values(&[level.as_str()])),
            levels,
            errors: IntCounterVec::new(
                Opts::new(
                    "apiserver_audit_error_total",
                    "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
                ),
                &["plugin"],
            )
            .expect(valid),
            rejected: IntCounter::new(
                "apiserver_audit_requests_rejected_total",
                "Counter of apiserver requests rejected due to an error in audit logging backend.",
            )
            .expect(valid),
        }
    }

    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.events.clone()),
            Box::new(self.levels.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.rejected.clone()),
        ]
    }

    pub(crate) fn event(&self) {
        self.events.inc();
    }

    pub(crate) fn level(&self, level: Level) {
        self.by_level[level as usize].inc();
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    /// Events that did not get where they should.
    pub(crate) fn failed(&self, plugin: &'static str, events: usize, error: &dyn std::fmt::Display) {
        self.errors.with_label_values(&[plugin]).inc_by(events as u64);
        tracing::error!(plugin, events, %error, "audit events were lost");
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        let plugins = ["buffered", "log", "webhook", "truncate"];
        (self.events.get(), plugins.iter().map(|plugin| self.errors.with_label_values(&[plugin]).get()).sum())
    }
}
