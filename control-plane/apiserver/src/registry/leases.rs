//! Leases for what lives for a time: one lease serves the writes of a while, so that they are few.

use std::sync::Arc;
use std::time::Duration;

use oarlock_store::{LeaseId, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(super) struct Leases {
    store: Arc<dyn Store>,
    /// Writes this close together share a lease, and live at most this much longer for it.
    reuse: Duration,
    current: Mutex<Option<(LeaseId, Instant)>>,
}

impl Leases {
    pub(super) fn new(store: Arc<dyn Store>, reuse: Duration) -> Self {
        Self { store, reuse, current: Mutex::new(None) }
    }

    /// A lease that lasts at least `ttl` from now.
    pub(super) async fn lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let mut current = self.current.lock().await;
        if let Some((lease, until)) = *current
            && Instant::now() < until
        {
            return Ok(lease);
        }
        let lease = self.store.grant(ttl + self.reuse).await?;
        *current = Some((lease, Instant::now() + self.reuse));
        Ok(lease)
    }
}
