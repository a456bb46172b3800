//! What the store takes on disk: asked when metrics are, and not more often than `--etcd-db-metric-poll-interval`.

use std::time::{Duration, Instant};

use oarlock_store::Store;
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::sync::Mutex;

/// Whoever wants metrics does not wait longer for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct StorageSize {
    gauge: IntGaugeVec,
    /// Zero: never.
    every: Duration,
    asked: Mutex<Option<Instant>>,
}

impl StorageSize {
    pub(crate) fn new(registry: &Registry, every: Duration) -> Self {
        let opts =
            Opts::new("apiserver_storage_size_bytes", "[STABLE] What the store takes on disk, in bytes.");
        let gauge = IntGaugeVec::new(opts, &["storage_cluster_id"]);
        let gauge = gauge.expect("the name and labels are constants");
        registry.register(Box::new(gauge.clone())).expect("every name is registered once");
        Self { gauge, every, asked: Mutex::new(None) }
    }

    /// Looks, if that was long ago. A member that does not answer is not told of.
    pub(crate) async fn look(&self, store: &dyn Store) {
        // Of two who come at once one looks; the other tells what was known.
        let Ok(mut asked) = self.asked.try_lock() else { return };
        if self.every.is_zero() || asked.is_some_and(|at| at.elapsed() < self.every) {
            return;
        }
        *asked = Some(Instant::now());
        let sizes = tokio::time::timeout(PATIENCE, store.sizes()).await.unwrap_or_default();
        self.gauge.reset();
        for (member, size) in sizes.into_iter().enumerate() {
            let Some(size) = size else { continue };
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            self.gauge.with_label_values(&[&format!("etcd-{member}")]).set(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_store::{EmbeddedOptions, MemoryStore, open_embedded};

    #[tokio::test]
    async fn the_file_is_told_of_and_seldom_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
        let registry = Registry::new();
        let size = StorageSize::new(&registry, Duration::from_secs(30));
        let told = || registry.gather().first().map(|family| family.get_metric()[0].get_gauge().get_value());
        size.look(&*store).await;
        let length = std::fs::metadata(&path).expect("a file").len();
        assert_eq!(told(), Some(length as f64));
        size.look(&MemoryStore::new()).await;
        assert_eq!(told(), Some(length as f64), "it was asked a moment ago");
    }
}
