//! One probe of one container: when to look, and how many looks make a verdict.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Probe};
use oarlock_base::Backoff;
use oarlock_client::EventType;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info};

use super::check::{Outcome, check};
use super::{ProbeKind, Verdicts};
use crate::context::Context;

/// Looks at a container that has just been started: 20, 40, … ms apart, about a second in all.
const EARLY: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_millis(320));
const EARLY_LOOKS: u32 = 6;

pub(super) struct ProbeTask {
    pub(super) ctx: Arc<Context>,
    pub(super) wake: Arc<Notify>,
    pub(super) verdicts: Verdicts,
    pub(super) reference: ObjectReference,
    pub(super) container: Container,
    pub(super) id: String,
    pub(super) started_at: Timestamp,
    pub(super) pod_ip: Option<String>,
    pub(super) kind: ProbeKind,
    pub(super) probe: Probe,
}

/// Counts equal outcomes in a row. Pure.
#[derive(Debug, Default)]
struct Streak {
    good: bool,
    length: i32,
}

impl Streak {
    /// The verdict after one more outcome: `None` while it is too early for one.
    fn count(&mut self, good: bool, probe: &Probe) -> Option<bool> {
        if self.good == good && self.length > 0 {
            self.length = self.length.saturating_add(1);
        } else {
            *self = Self { good, length: 1 };
        }
        let needed =
            if good { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
        (self.length >= needed).then_some(good)
    }
}

impl ProbeTask {
    /// Probes until it is stopped, or until nothing more can be learned: after the startup probe's success.
    pub(super) async fn run(self) {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.map_or(default, |value| u64::try_from(value).unwrap_or(default)))
        };
        let since = Duration::try_from(self.ctx.now().duration_since(self.started_at)).unwrap_or_default();
        let delay = seconds(self.probe.initial_delay_seconds, 0).saturating_sub(since);
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let timeout = seconds(self.probe.timeout_seconds, 1).max(Duration::from_secs(1));
        tokio::time::sleep(delay).await;
        if self.kind != ProbeKind::Startup {
            // Readiness is looked at as soon as the startup probe is done, not a period later.
            self.verdicts.until_started(&self.id, &self.container).await;
        }
        let mut ticks = tokio::time::interval_at(Instant::now(), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut streak = Streak::default();
        let mut early = (self.kind != ProbeKind::Liveness).then(|| EARLY.start());
        loop {
            ticks.tick().await;
            let mut outcome = self.look(timeout).await;
            // A container that has just been started needs a moment. Upstream comes later anyway; to look often at
            // first, without counting, makes a quick one ready at once.
            while let (Outcome::Failure(_), Some(state)) = (&outcome, &mut early)
                && state.attempts() < EARLY_LOOKS
            {
                tokio::time::sleep(state.next_delay()).await;
                outcome = self.look(timeout).await;
            }
            early = None;
            if let Outcome::Failure(message) = &outcome {
                self.report(message);
            }
            let good = !matches!(outcome, Outcome::Failure(_));
            let Some(verdict) = streak.count(good, &self.probe) else { continue };
            if self.verdicts.set(&self.id, self.kind, verdict) {
                info!(container = %self.container.name, id = self.id, probe = self.kind.title(), verdict, "probe");
                self.wake.notify_one();
            }
            // After a failed liveness or startup probe the worker stops the container and this task with it.
            if self.kind == ProbeKind::Startup && verdict {
                return;
            }
        }
    }

    async fn look(&self, timeout: Duration) -> Outcome {
        check(&self.ctx, &self.probe, &self.container, &self.id, self.pod_ip.as_deref(), timeout).await
    }

    fn report(&self, message: &str) {
        let title = self.kind.title();
        debug!(container = %self.container.name, probe = title, message, "probe failed");
        let text = format!("{title} probe failed: {message}");
        self.ctx.recorder.event(&self.reference, EventType::Warning, "Unhealthy", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_of_outcomes_in_a_row() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Default::default() };
        let mut streak = Streak::default();
        let verdicts: Vec<Option<bool>> = [true, true, false, false, true, false, false, false]
            .into_iter()
            .map(|good| streak.count(good, &probe))
            .collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(verdicts, [None, yes, None, None, None, None, None, no]);
    }
}
