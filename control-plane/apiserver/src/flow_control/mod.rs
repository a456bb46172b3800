//! A bound on requests under way, reads and writes apart; upstream's `--max-requests-inflight` and its twin.

use std::sync::Arc;

use oarlock_api::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request_info::RequestInfo;

const READS_MAX: usize = 400;
const WRITES_MAX: usize = 200;

pub(crate) struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { reads: Arc::new(Semaphore::new(READS_MAX)), writes: Arc::new(Semaphore::new(WRITES_MAX)) }
    }
}

impl InFlight {
    /// A place among the requests under way, or 429.
    pub(crate) fn enter(&self, info: &RequestInfo) -> Result<OwnedSemaphorePermit, Status> {
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch" | "head" | "options");
        let semaphore = if reads { &self.reads } else { &self.writes };
        semaphore
            .clone()
            .try_acquire_owned()
            .map_err(|_| Status::too_many_requests("Too many requests, please try again later.", 1))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn idle(&self) {
        for (semaphore, all) in [(&self.reads, READS_MAX), (&self.writes, WRITES_MAX)] {
            let all = u32::try_from(all).expect("the bounds are small");
            // It is never closed; the places are given back at once.
            drop(semaphore.acquire_many(all).await);
        }
    }

    /// Reads and writes under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (READS_MAX - self.reads.available_permits(), WRITES_MAX - self.writes.available_permits())
    }
}
