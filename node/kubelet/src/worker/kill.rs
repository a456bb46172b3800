//! Stopping containers: preStop within the grace period, then the runtime's SIGTERM and SIGKILL.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod};
use oarlock_client::EventType;
use oarlock_cri::v1::StopContainerRequest;
use tokio::time::Instant;
use tracing::{info, warn};

use super::plan::KillReason;
use super::{Worker, run_hook};
use crate::observed::{NOTE_GRACE, Observed, Seen};
use crate::pod::{Kind, PodExt as _, is_sidecar};

/// Even without a grace period a container gets this long between SIGTERM and SIGKILL, as upstream has it.
const GRACE_SECONDS_MIN: i64 = 2;

impl Worker {
    /// Stops one container that a plan wants to start anew.
    pub(super) async fn kill_one(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        id: &str,
        name: &str,
        why: KillReason,
        message: &str,
    ) {
        let Some((kind, container)) = pod.find_container(name) else { return };
        let probe = match why {
            KillReason::Liveness => container.liveness_probe.as_ref(),
            KillReason::Startup => container.startup_probe.as_ref(),
            KillReason::Changed | KillReason::Unknown => None,
        };
        let grace =
            probe.and_then(|probe| probe.termination_grace_period_seconds).unwrap_or(pod.grace_seconds());
        self.probes.stop(id);
        self.kill_container(pod, &container, kind, id, message, grace).await;
        if why == KillReason::Unknown && !observed.running().any(|seen| seen.id() == id) {
            self.remove(id).await;
        }
    }

    /// Stops every container of the pod, sidecars after the others and in reverse order.
    pub(super) async fn kill_all(&self, pod: &Pod, observed: &Observed, grace: i64) {
        let deadline = Instant::now() + Duration::from_secs(grace.max(0).unsigned_abs());
        let left =
            || i64::try_from(deadline.saturating_duration_since(Instant::now()).as_secs()).unwrap_or(0);
        let sidecar =
            |seen: &&Seen| pod.init_containers().iter().any(|c| c.name == seen.name() && is_sidecar(c));
        let (sidecars, others): (Vec<&Seen>, Vec<&Seen>) =
            observed.containers.iter().filter(|seen| !seen.exited()).partition(sidecar);
        join_all(others.into_iter().map(|seen| self.kill_seen(pod, seen, grace))).await;
        let order = |seen: &&Seen| pod.init_containers().iter().position(|c| c.name == seen.name());
        let mut sidecars = sidecars;
        sidecars.sort_by_key(|seen| std::cmp::Reverse(order(seen)));
        for seen in sidecars {
            self.kill_seen(pod, seen, if grace == 0 { 0 } else { left() }).await;
        }
    }

    async fn kill_seen(&self, pod: &Pod, seen: &Seen, grace: i64) {
        match pod.find_container(seen.name()) {
            Some((kind, container)) => {
                let message = format!("Stopping container {}", container.name);
                self.kill_container(pod, &container, kind, seen.id(), &message, grace).await;
            }
            None => {
                let known = seen.status.annotations.get(NOTE_GRACE).and_then(|grace| grace.parse().ok());
                self.stop_container(seen.id(), grace.min(known.unwrap_or(grace))).await;
            }
        }
    }

    /// Says so, runs preStop and stops, all within `grace` seconds.
    pub(super) async fn kill_container(
        &self,
        pod: &Pod,
        container: &Container,
        kind: Kind,
        id: &str,
        message: &str,
        grace: i64,
    ) {
        self.ctx.container_event(pod, (kind, &container.name), EventType::Normal, "Killing", message);
        info!(pod = %pod.display(), container = %container.name, id, grace, "stopping container");
        let begun = Instant::now();
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = hook.filter(|_| grace > 0) {
            let observed = self.ctx.observer.observe(&self.uid).await.unwrap_or_default();
            let ip = crate::pod_ip(&self.ctx, pod, &observed);
            let limit = Duration::from_secs(grace.unsigned_abs());
            match tokio::time::timeout(limit, run_hook(&self.ctx, pod, container, id, hook, ip)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let message = format!("PreStopHook failed: {error}");
                    self.ctx.container_event(
                        pod,
                        (kind, &container.name),
                        EventType::Warning,
                        "FailedPreStopHook",
                        message,
                    );
                }
                Err(_) => {
                    warn!(pod = %pod.display(), container = %container.name, grace, "preStop took too long")
                }
            }
        }
        let used = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
        let left = if grace <= 0 { 0 } else { (grace - used).max(GRACE_SECONDS_MIN.min(grace)) };
        self.stop_container(id, left).await;
    }

    async fn stop_container(&self, id: &str, timeout: i64) {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout };
        match self.ctx.cri.stop_container(request).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => warn!(pod = %self.uid, container = id, %error, "container not stopped"),
        }
    }
}
