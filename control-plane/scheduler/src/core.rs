//! The state that the watch feeds and the loop works off, behind one lock that is never held across an await.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::Cache;
use crate::metrics::SchedulerMetrics;
use crate::queue::{Profiles, SchedulingQueue};

pub(crate) struct Core {
    pub(crate) cache: Cache,
    pub(crate) queue: SchedulingQueue,
}

pub(crate) struct Shared {
    core: Mutex<Core>,
    /// The loop's one wake-up: something is ready, or a deadline came nearer.
    wake: Notify,
    pub(crate) profiles: Arc<Profiles>,
    pub(crate) metrics: SchedulerMetrics,
}

impl Shared {
    pub(crate) fn new(profiles: Arc<Profiles>, metrics: SchedulerMetrics) -> Self {
        let mut queue = SchedulingQueue::new(profiles.clone());
        let incoming = metrics.incoming.clone();
        queue.on_incoming = Box::new(move |event, to| incoming.with_label_values(&[event, to]).inc());
        Self {
            core: Mutex::new(Core { cache: Cache::default(), queue }),
            wake: Notify::new(),
            profiles,
            metrics,
        }
    }

    /// Does something with the state, and wakes the loop where there is work for it afterwards.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core.lock();
        let deadline = core.queue.next_deadline();
        let result = work(&mut core);
        let next = core.queue.next_deadline();
        let sooner = next.is_some_and(|next| deadline.is_none_or(|deadline| next < deadline));
        let wake = core.queue.is_ready() || sooner;
        self.metrics.pending(core.queue.lengths());
        self.metrics.cached(core.cache.sizes());
        drop(core);
        if wake {
            self.wake.notify_one();
        }
        result
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
