//! One pod in the queue.

use std::sync::Arc;
use std::time::Duration;

use oarlock_base::Backoff;
use tokio::time::Instant;

use crate::framework::SortKey;
use crate::model::PodInfo;

/// Upstream's defaults: podInitialBackoffSeconds, podMaxBackoffSeconds.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(10));

/// Where the pod is, and under which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Active((SortKey, u64)),
    Backoff((Instant, u64)),
    Error((Instant, u64)),
    Unschedulable((Instant, u64)),
    Gated,
    InFlight,
}

pub(super) struct Entry {
    pub(super) pod: Arc<PodInfo>,
    pub(super) place: Place,
    pub(super) attempts: u32,
    /// Attempts that found no node, and errors in a row.
    pub(super) failures: u32,
    pub(super) errors: u32,
    pub(super) failed_at: Option<Instant>,
    /// When it first entered the active queue.
    pub(super) since: Option<Instant>,
    pub(super) rejectors: Vec<&'static str>,
}

impl Entry {
    pub(super) fn new(pod: Arc<PodInfo>) -> Self {
        Self {
            pod,
            place: Place::InFlight,
            attempts: 0,
            failures: 0,
            errors: 0,
            failed_at: None,
            since: None,
            rejectors: vec![],
        }
    }

    /// The back-off counts from the failure: who waited longer than it for a change need not wait again.
    pub(super) fn backs_off_until(&self) -> Option<Instant> {
        let failed_at = self.failed_at?;
        Some(failed_at + BACKOFF.delay(self.failures.saturating_sub(1)))
    }

    pub(super) fn error_backoff(&self) -> Duration {
        BACKOFF.delay(self.errors.saturating_sub(1))
    }
}
