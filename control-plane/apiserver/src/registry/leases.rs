//! Leases for what lives for a time: one lease serves the writes of a minute, so that they are few.

use std::sync::Arc;
use std::time::Duration;

use oarlock_store::{LeaseId, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Writes this close together share a lease, and live at most this much longer for it.
const SHARED_FOR: Duration = Duration::from_secs(60);

pub(super) struct Leases {
    store: Arc<dyn Store>,
    current: Mutex<Option<(LeaseId, Instant)>>,
}

impl Leases {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, current: Mutex::new(None) }
    }

    /// A lease that lasts at least `ttl` from now.
    pub(super) async fn lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let mut current = self.current.lock().await;
        if let Some((lease, until)) = *current
            && Instant::now() < until
        {
            return Ok(lease);
        }
        let lease = self.store.grant(ttl + SHARED_FOR).await?;
        *current = Some((lease, Instant::now() + SHARED_FOR));
        Ok(lease)
    }
}
