//! The binding cycle: from a node that was chosen to a pod that is bound, beside the loop.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::core::Shared;
use crate::framework::{ClusterChange, CycleState, Permission, PluginSet, Status};
use crate::metrics::Outcome;
use crate::queue::{Now, Popped};
use crate::report::{Reporter, Why};

pub(crate) struct Binding {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reporter: Reporter,
    pub(crate) plugins: Arc<PluginSet>,
    pub(crate) popped: Popped,
    pub(crate) node: Arc<str>,
    pub(crate) state: CycleState,
    pub(crate) began: Instant,
}

impl Binding {
    /// `refused`: what a Reserve plugin had against it.
    pub(crate) async fn run(mut self, refused: Option<Status>) {
        let status = match refused {
            Some(status) => status,
            None => self.steps().await,
        };
        if status.is_success() { self.bound() } else { self.undo(status).await }
    }

    async fn steps(&mut self) -> Status {
        let permitted = self.permit().await;
        if !permitted.is_success() {
            return permitted;
        }
        for plugin in &self.plugins.pre_bind {
            let status = plugin.pre_bind(&self.state, &self.popped.pod, &self.node).await;
            if !status.is_success() && !status.is_skip() {
                return explain("running PreBind plugin", plugin.name(), status);
            }
        }
        for plugin in &self.plugins.bind {
            let status = plugin.bind(&self.state, &self.popped.pod, &self.node).await;
            if status.is_success() {
                return status;
            }
            if !status.is_skip() {
                return explain("binding rejected: running Bind plugin", plugin.name(), status);
            }
        }
        Status::error("binding rejected: no Bind plugin took the pod")
    }

    async fn permit(&mut self) -> Status {
        for plugin in &self.plugins.permit {
            let status = match plugin.permit(&mut self.state, &self.popped.pod, &self.node) {
                Permission::Now(status) => status,
                Permission::Wait(answer, longest) => match tokio::time::timeout(longest, answer).await {
                    Ok(status) => status,
                    Err(_) => Status::unschedulable(format!(
                        "rejected due to timeout after waiting {longest:?} at plugin {}",
                        plugin.name()
                    )),
                },
            };
            if !status.is_success() {
                return status.by(plugin.name());
            }
        }
        Status::SUCCESS
    }

    fn bound(self) {
        let pod = &self.popped.pod;
        self.shared.with(|core| core.queue.remove(&pod.uid));
        for plugin in &self.plugins.post_bind {
            plugin.post_bind(&self.state, pod, &self.node);
        }
        debug!(pod = %pod, node = %self.node, attempts = self.popped.attempts, "bound");
        self.shared.metrics.attempt(&pod.scheduler, Outcome::Scheduled, self.began.elapsed());
        self.shared.metrics.bound(self.popped.attempts, self.popped.since.elapsed());
        self.reporter.scheduled(pod, &self.node);
    }

    async fn undo(mut self, status: Status) {
        let pod = self.popped.pod.clone();
        self.plugins.unreserve(&mut self.state, &pod, &self.node);
        let rejected = status.is_rejected();
        let wanted = self.shared.with(|core| {
            let now = Now::read();
            if core.cache.forget(&pod.uid) {
                core.queue.changed(&ClusterChange::AssignedPodDeleted(pod.clone()), now);
            }
            // What changed during the binding was not kept for the plugins' hints, so time decides.
            core.queue.retry(&pod.uid, now)
        });
        let (why, outcome) = if rejected {
            (Why::Unschedulable, Outcome::Unschedulable)
        } else {
            (Why::Error, Outcome::Error)
        };
        self.shared.metrics.attempt(&pod.scheduler, outcome, self.began.elapsed());
        warn!(pod = %pod, node = %self.node, reason = %status, "not bound");
        if wanted {
            self.reporter.failed(&pod, why, &status.to_string()).await;
        }
    }
}

fn explain(what: &str, plugin: &'static str, status: Status) -> Status {
    let reason = format!("{what} {plugin:?}: {status}");
    Status { reasons: vec![Cow::Owned(reason)], ..status }.by(plugin)
}
