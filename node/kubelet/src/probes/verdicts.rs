//! What the probes of a pod's containers have said. Shared by the probe tasks, the plan and the status.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ProbeKind;

#[derive(Debug, Clone, Default)]
pub(crate) struct Verdicts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<HashMap<(String, ProbeKind), bool>>,
    /// A verdict has changed.
    changed: Notify,
}

impl Verdicts {
    fn get(&self, id: &str, kind: ProbeKind) -> Option<bool> {
        self.0.said.lock().get(&(id.to_owned(), kind)).copied()
    }

    /// Notes a verdict; says whether it is news.
    pub(crate) fn set(&self, id: &str, kind: ProbeKind, good: bool) -> bool {
        let news = self.0.said.lock().insert((id.to_owned(), kind), good) != Some(good);
        if news {
            self.0.changed.notify_waiters();
        }
        news
    }

    pub(crate) fn forget(&self, id: &str) {
        self.0.said.lock().retain(|(of, _), _| of != id);
    }

    /// Returns when the container has [`started`](Self::started).
    pub(crate) async fn until_started(&self, id: &str, container: &Container) {
        loop {
            let changed = self.0.changed.notified();
            if self.started(id, container) {
                return;
            }
            changed.await;
        }
    }

    /// A running container has started when its startup probe has succeeded, or at once without one.
    pub(crate) fn started(&self, id: &str, container: &Container) -> bool {
        container.startup_probe.is_none() || self.get(id, ProbeKind::Startup) == Some(true)
    }

    /// A started container is ready when its readiness probe says so, or at once without one.
    pub(crate) fn ready(&self, id: &str, container: &Container) -> bool {
        container.readiness_probe.is_none() || self.get(id, ProbeKind::Readiness) == Some(true)
    }

    pub(crate) fn liveness_failed(&self, id: &str) -> bool {
        self.get(id, ProbeKind::Liveness) == Some(false)
    }

    pub(crate) fn startup_failed(&self, id: &str) -> bool {
        self.get(id, ProbeKind::Startup) == Some(false)
    }
}
