//! Probes: one task per probe of a running container, and none where there is no probe. Results stand in [`Verdicts`]; a
//! change wakes the pod's worker.

mod check;
mod grpc;
mod http;
mod task;
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use oarlock_base::Shutdown;
use tokio::sync::Notify;

pub(crate) use check::resolve_port;
pub(crate) use http::http_request;
pub(crate) use verdicts::Verdicts;

use crate::context::Context;
use crate::observed::Observed;
use crate::pod::{Kind, PodExt as _, is_sidecar};
use task::ProbeTask;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// The probes of one pod's containers.
pub(crate) struct Probes {
    ctx: Arc<Context>,
    wake: Arc<Notify>,
    verdicts: Verdicts,
    /// By container id; dropping the token's owner does not stop it, triggering does.
    running: HashMap<String, Shutdown>,
}

impl Probes {
    pub(crate) fn new(ctx: Arc<Context>, wake: Arc<Notify>) -> Self {
        Self { ctx, wake, verdicts: Verdicts::default(), running: HashMap::new() }
    }

    pub(crate) fn verdicts(&self) -> Verdicts {
        self.verdicts.clone()
    }

    /// Probes exactly the containers that run.
    pub(crate) fn fit(&mut self, pod: &Pod, observed: &Observed) {
        let live: Vec<&str> = observed.running().map(|seen| seen.id()).collect();
        let gone: Vec<String> =
            self.running.keys().filter(|id| !live.contains(&id.as_str())).cloned().collect();
        for id in gone {
            self.stop(&id);
            self.verdicts.forget(&id);
        }
        for seen in observed.running() {
            if self.running.contains_key(seen.id()) {
                continue;
            }
            let Some((kind, container)) = pod.find_container(seen.name()) else { continue };
            if kind == Kind::Ephemeral || kind == Kind::Init && !is_sidecar(&container) {
                continue;
            }
            self.start(pod, kind, &container, seen, crate::pod_ip(&self.ctx, pod, observed));
        }
    }

    fn start(
        &mut self,
        pod: &Pod,
        kind: Kind,
        container: &Container,
        seen: &crate::observed::Seen,
        pod_ip: Option<String>,
    ) {
        let wanted: [(ProbeKind, &Option<Probe>); 3] = [
            (ProbeKind::Startup, &container.startup_probe),
            (ProbeKind::Liveness, &container.liveness_probe),
            (ProbeKind::Readiness, &container.readiness_probe),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().filter_map(|(of, probe)| Some((of, probe.clone()?))).collect();
        if wanted.is_empty() {
            return;
        }
        let stop = self.ctx.spawner.shutdown().child();
        for (of, probe) in wanted {
            let task = ProbeTask {
                ctx: self.ctx.clone(),
                wake: self.wake.clone(),
                verdicts: self.verdicts.clone(),
                reference: pod.container_reference(kind, &container.name),
                container: container.clone(),
                id: seen.id().to_owned(),
                started_at: crate::worker::time(seen.status.started_at),
                pod_ip: pod_ip.clone(),
                kind: of,
                probe,
            };
            let stop = stop.clone();
            self.ctx.spawner.spawn("probe", async move {
                stop.or(task.run()).await;
            });
        }
        self.running.insert(seen.id().to_owned(), stop);
    }

    /// Ends the probes of one container; what they said stays.
    pub(crate) fn stop(&mut self, container_id: &str) {
        if let Some(stop) = self.running.remove(container_id) {
            stop.trigger();
        }
    }

    pub(crate) fn stop_all(&self) {
        self.running.values().for_each(Shutdown::trigger);
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop_all();
    }
}
