//! One worker per pod: a task that brings the pod from whatever state it is in to the one that is wanted.
//!
//! A pass looks at the input, at the runtime and at the worker's memory, and goes one of three ways: [`sync`] for a pod
//! that shall run, [`finish`] for one that ran to its end, [`terminate`] for one that is being deleted. Then the worker
//! sleeps until the pod changes, the runtime or a probe reports, or the plan's own time has come.

mod finish;
mod hooks;
mod kill;
mod memory;
mod plan;
mod start;
mod sync;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use oarlock_base::Shutdown;
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

pub(crate) use memory::{Memory, Waiting};
pub(crate) use plan::{comes_back, time};

use hooks::run_hook;

use crate::context::Context;
use crate::observed::Observed;
use crate::pod::{PodExt as _, PodUid};
use crate::probes::Probes;
use crate::status::{Facts, Verdict, generate};

/// What the manager wants of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) pod: Arc<Pod>,
    /// The API has no such pod any more (or the manifest is gone).
    pub(crate) gone: bool,
    /// Admission refused it: it must not run, and why.
    pub(crate) refused: Option<Verdict>,
}

impl Input {
    fn ending(&self) -> bool {
        self.gone || self.pod.deletion().is_some()
    }

    /// How long the pod has to end. Who is gone without having been asked to end gets a moment.
    fn grace(&self) -> i64 {
        let least = if self.gone && self.pod.deletion().is_none() { 1 } else { 0 };
        self.pod.grace_seconds().max(least)
    }
}

/// How a worker is reached.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) input: watch::Sender<Input>,
    pub(crate) wake: Arc<Notify>,
}

impl Handle {
    pub(crate) fn new(input: Input) -> Self {
        Self { input: watch::Sender::new(input), wake: Arc::new(Notify::new()) }
    }
}

/// What a pass leaves to wait for.
enum Next {
    /// Something to happen, or this time.
    Wait(Option<Timestamp>),
    /// The pod is gone, and so is everything of it.
    Over,
}

pub(crate) struct Worker {
    ctx: Arc<Context>,
    uid: PodUid,
    input: watch::Receiver<Input>,
    wake: Arc<Notify>,
    memory: Memory,
    probes: Probes,
    /// The pod failed as a whole.
    verdict: Option<Verdict>,
    /// The pod has come to its end, and its volumes and cgroup are gone.
    reclaimed: bool,
}

impl Worker {
    pub(crate) fn new(ctx: Arc<Context>, uid: PodUid, handle: &Handle) -> Self {
        let probes = Probes::new(ctx.clone(), handle.wake.clone());
        Self {
            ctx,
            uid,
            input: handle.input.subscribe(),
            wake: handle.wake.clone(),
            memory: Memory { probes: probes.verdicts(), ..Memory::default() },
            probes,
            verdict: None,
            reclaimed: false,
        }
    }

    /// Works until the pod is gone or the agent stops; containers outlive the agent.
    pub(crate) async fn run(mut self, stop: Shutdown) {
        loop {
            let wake_at = match stop.or(self.pass()).await {
                Some(Next::Wait(wake_at)) => wake_at,
                Some(Next::Over) | None => break,
            };
            let timer = async {
                match wake_at {
                    Some(at) => tokio::time::sleep(until(at, self.ctx.now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.wait() => break,
                changed = self.input.changed() => if changed.is_err() { break },
                () = self.wake.notified() => {}
                () = timer => {}
            }
        }
        self.probes.stop_all();
        debug!(pod = %self.uid, "worker ended");
    }

    async fn pass(&mut self) -> Next {
        let input = self.input.borrow_and_update().clone();
        if input.ending() {
            return self.terminate(&input).await;
        }
        if let Some(verdict) = &input.refused {
            self.verdict = Some(verdict.clone());
        }
        let done = self.ctx.status.latest(&input.pod).is_some_and(|status| is_terminal(&status));
        if self.verdict.is_some() || done || input.pod.is_terminal() {
            return self.finish(&input.pod).await;
        }
        match self.sync(&input.pod).await {
            Ok(next) => next,
            Err(error) => {
                warn!(pod = %input.pod.display(), %error, "the runtime did not answer");
                Next::Wait(Some(self.ctx.now() + jiff::SignedDuration::from_secs(1)))
            }
        }
    }

    /// Makes the status and publishes it; gives the status back.
    fn publish(&self, pod: &Pod, observed: &Observed, ended: bool) -> Arc<PodStatus> {
        let previous = self.ctx.status.latest(pod);
        let facts = Facts {
            host_ip: &self.ctx.host_ip(),
            runtime_name: &self.ctx.runtime_name.read(),
            now: self.ctx.now(),
            previous: previous.as_deref(),
            ended,
            verdict: self.verdict.as_ref(),
        };
        let status = generate(pod, observed, &self.memory, &facts);
        self.ctx.status.publish(pod, status.clone());
        Arc::new(status)
    }

    /// Returns when the pod is to end, or its end is to come sooner than `grace`.
    async fn ending_within(&self, grace: Option<i64>) {
        let mut input = self.input.clone();
        let sooner = |input: &Input| input.ending() && grace.is_none_or(|grace| input.grace() < grace);
        if input.wait_for(sooner).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn is_terminal(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

fn until(at: Timestamp, now: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
