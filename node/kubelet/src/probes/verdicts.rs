//! What the probes of a pod's containers have said. Shared by the probe tasks, the plan and the status.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use parking_lot::Mutex;

use super::ProbeKind;

#[derive(Debug, Clone, Default)]
pub(crate) struct Verdicts(Arc<Mutex<HashMap<(String, ProbeKind), bool>>>);

impl Verdicts {
    fn get(&self, id: &str, kind: ProbeKind) -> Option<bool> {
        self.0.lock().get(&(id.to_owned(), kind)).copied()
    }

    /// Notes a verdict; says whether it is news.
    pub(crate) fn set(&self, id: &str, kind: ProbeKind, good: bool) -> bool {
        self.0.lock().insert((id.to_owned(), kind), good) != Some(good)
    }

    pub(crate) fn forget(&self, id: &str) {
        self.0.lock().retain(|(of, _), _| of != id);
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
