//! How long admission takes: each plugin that was asked, and each half as a whole.

use std::sync::OnceLock;
use std::time::Instant;

use prometheus::{Histogram, HistogramVec};

use crate::metrics::AccessMetrics;
use crate::types::{Operation, Phase};

/// A histogram for each operation, half and outcome, made when it is first needed: a request only counts.
type Slots = [OnceLock<Histogram>; 16];

#[derive(Default)]
pub(super) struct Timing {
    metrics: Option<AccessMetrics>,
    plugins: Vec<(&'static str, Slots)>,
    steps: Slots,
}

impl Timing {
    pub(super) fn new(metrics: AccessMetrics, plugins: impl Iterator<Item = &'static str>) -> Self {
        let plugins = plugins.map(|name| (name, Slots::default())).collect();
        Self { metrics: Some(metrics), plugins, steps: Slots::default() }
    }

    /// One plugin has answered.
    pub(super) fn plugin(
        &self,
        index: usize,
        operation: Operation,
        phase: Phase,
        rejected: bool,
        began: Instant,
    ) {
        let (Some(metrics), Some((name, slots))) = (&self.metrics, self.plugins.get(index)) else { return };
        observe(slots, &metrics.admission_plugins, Some(name), operation, phase, rejected, began);
    }

    /// A half is over.
    pub(super) fn step(&self, operation: Operation, phase: Phase, rejected: bool, began: Instant) {
        let Some(metrics) = &self.metrics else { return };
        observe(&self.steps, &metrics.admission_steps, None, operation, phase, rejected, began);
    }
}

fn observe(
    slots: &Slots,
    all: &HistogramVec,
    name: Option<&str>,
    operation: Operation,
    phase: Phase,
    rejected: bool,
    began: Instant,
) {
    let (at, told) = match operation {
        Operation::Create => (0, "CREATE"),
        Operation::Update => (4, "UPDATE"),
        Operation::Delete => (8, "DELETE"),
        Operation::Connect => (12, "CONNECT"),
    };
    let (half, kind) = match phase {
        Phase::Mutate => (0, "admit"),
        Phase::Validate => (2, "validate"),
    };
    let slot = &slots[at + half + usize::from(rejected)];
    let histogram = slot.get_or_init(|| {
        let rejected = if rejected { "true" } else { "false" };
        match name {
            Some(name) => all.with_label_values(&[name, told, rejected, kind]),
            None => all.with_label_values(&[told, rejected, kind]),
        }
    });
    histogram.observe(began.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_told_apart() {
        let metrics = AccessMetrics::new();
        let timing = Timing::new(metrics.clone(), ["A", "B"].into_iter());
        let began = Instant::now();
        timing.plugin(1, Operation::Create, Phase::Validate, true, began);
        timing.plugin(1, Operation::Create, Phase::Validate, false, began);
        timing.step(Operation::Delete, Phase::Mutate, false, began);
        timing.plugin(7, Operation::Create, Phase::Validate, true, began);
        let count = |labels: &[&str]| metrics.admission_plugins.with_label_values(labels).get_sample_count();
        assert_eq!(count(&["B", "CREATE", "true", "validate"]), 1);
        assert_eq!(count(&["B", "CREATE", "false", "validate"]), 1);
        assert_eq!(count(&["A", "CREATE", "true", "validate"]), 0);
        let steps = metrics.admission_steps.with_label_values(&["DELETE", "false", "admit"]);
        assert_eq!(steps.get_sample_count(), 1);
    }
}
