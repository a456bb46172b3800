//! A pass over a pod that shall run: volumes, sandbox, containers, probes, status.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use oarlock_client::EventType;
use oarlock_cri::CallError;
use oarlock_cri::v1::{RemovePodSandboxRequest, RunPodSandboxRequest, StopPodSandboxRequest};
use tracing::{info, warn};

use super::plan::{Action, plan};
use super::{Next, Worker, is_terminal};
use crate::observed::Observed;
use crate::pod::PodExt as _;
use crate::status::Verdict;
use crate::translate;

/// Sandbox, init containers and containers each take a pass; more than this many in a row means that they undo each other.
const PASSES_MAX: usize = 64;
/// After a failure that nothing will report the end of; upstream's back-off of pod workers.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// After a sandbox could not be made.
const SANDBOX_RETRY: SignedDuration = SignedDuration::from_secs(1);

impl Worker {
    pub(super) async fn sync(&mut self, pod: &Pod) -> Result<Next, CallError> {
        if let Some(next) = self.past_deadline(pod) {
            return Ok(next);
        }
        let mut observed = self.ctx.observer.observe(&self.uid).await?;
        self.publish(pod, &observed, false);
        if let Some(next) = self.prepare(pod).await {
            return Ok(next);
        }
        let mut wake_at = self.deadline(pod);
        let mut before = Vec::new();
        for _ in 0..PASSES_MAX {
            let plan = plan(pod, &observed, &self.memory, self.ctx.now());
            if !plan.actions.is_empty() && plan.actions == before {
                // What was done had no effect: the runtime needs a moment.
                wake_at = earlier(wake_at, Some(self.ctx.now() + SANDBOX_RETRY));
                break;
            }
            for (name, waiting) in plan.waiting {
                self.back_off_event(pod, &name);
                self.memory.waiting.insert(name, waiting);
            }
            wake_at = earlier(wake_at, plan.wake_at);
            let mut failed = None;
            for action in &plan.actions {
                if let Err(retry_at) = self.act(pod, &observed, action).await {
                    failed = Some(retry_at);
                }
                if self.input.borrow().ending() {
                    return Ok(Next::Wait(Some(self.ctx.now())));
                }
            }
            if !plan.actions.is_empty() {
                observed = self.ctx.observer.observe(&self.uid).await?;
            }
            if let Some(retry_at) = failed {
                wake_at = earlier(wake_at, Some(retry_at));
                break;
            }
            if plan.actions.is_empty() {
                break;
            }
            before = plan.actions;
            self.watch(pod, &observed);
            self.publish(pod, &observed, false);
        }
        self.watch(pod, &observed);
        let status = self.publish(pod, &observed, false);
        if is_terminal(&status) {
            return Ok(Next::Wait(Some(self.ctx.now())));
        }
        Ok(Next::Wait(earlier(wake_at, self.ctx.volumes.refresh_at(&self.uid))))
    }

    /// Fails a pod that has been active for longer than it may.
    fn past_deadline(&mut self, pod: &Pod) -> Option<Next> {
        let deadline = self.deadline(pod)?;
        if self.ctx.now() < deadline {
            return None;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.ctx.pod_event(pod, EventType::Normal, "DeadlineExceeded", message);
        self.verdict = Some(Verdict { reason: "DeadlineExceeded".into(), message: message.into() });
        Some(Next::Wait(Some(self.ctx.now())))
    }

    fn deadline(&self, pod: &Pod) -> Option<Timestamp> {
        let seconds = pod.spec().active_deadline_seconds?;
        let status = self.ctx.status.latest(pod)?;
        Some(status.start_time.as_ref()?.0 + SignedDuration::from_secs(seconds))
    }

    /// Makes directories, cgroups and volumes; `Some` when the pod must wait for them.
    async fn prepare(&mut self, pod: &Pod) -> Option<Next> {
        if let Some(cgroups) = &self.ctx.cgroups
            && let Err(error) = cgroups.ensure_pod(pod)
        {
            let message = format!("error making pod: {error}");
            self.ctx.pod_event(
                pod,
                EventType::Warning,
                "FailedToCreatePodContainer",
                format!("unable to ensure pod container exists: {error}"),
            );
            warn!(pod = %pod.display(), message, "cgroup");
            return Some(Next::Wait(Some(self.ctx.now() + RETRY)));
        }
        match self.ctx.mount_volumes(pod, &self.wake).await {
            Ok(()) => None,
            Err(error) => {
                let message = error.to_string();
                warn!(pod = %pod.display(), error = message, "volumes are not ready");
                self.ctx.pod_event(pod, EventType::Warning, "FailedMount", message);
                Some(Next::Wait(Some(self.ctx.now() + RETRY)))
            }
        }
    }

    /// Starts and stops probes so that they fit the containers that run.
    fn watch(&mut self, pod: &Pod, observed: &Observed) {
        self.probes.fit(pod, observed);
        for seen in observed.running() {
            self.memory.waiting.remove(seen.name());
        }
    }

    /// One step. An error is the time at which to try again; who failed has said why.
    async fn act(&mut self, pod: &Pod, observed: &Observed, action: &Action) -> Result<(), Timestamp> {
        match action {
            Action::KillSandbox { id } => self.kill_sandbox(pod, observed, id).await,
            Action::CreateSandbox { attempt } => self.create_sandbox(pod, *attempt).await,
            Action::KillContainer { id, name, why, message } => {
                self.kill_one(pod, observed, id, name, *why, message).await;
                Ok(())
            }
            Action::StartContainer { kind, name, restarts } => {
                self.start_container(pod, observed, *kind, name, *restarts).await
            }
            Action::RemoveContainer { id } => {
                self.remove(id).await;
                Ok(())
            }
            Action::RemoveSandbox { id } => {
                let request = RemovePodSandboxRequest { pod_sandbox_id: id.clone() };
                if let Err(error) = self.ctx.cri.remove_pod_sandbox(request).await {
                    warn!(pod = %pod.display(), sandbox = id, %error, "an old sandbox stays");
                }
                Ok(())
            }
        }
    }

    async fn kill_sandbox(&mut self, pod: &Pod, observed: &Observed, id: &str) -> Result<(), Timestamp> {
        self.kill_all(pod, observed, pod.spec().termination_grace_period_seconds.unwrap_or(30)).await;
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        match self.ctx.cri.stop_pod_sandbox(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => {
                let message = format!("error killing pod: {error}");
                self.ctx.pod_event(pod, EventType::Warning, "FailedKillPod", message);
                Err(self.ctx.now() + RETRY)
            }
        }
    }

    async fn create_sandbox(&mut self, pod: &Pod, attempt: u32) -> Result<(), Timestamp> {
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.ctx.pod_event(pod, EventType::Normal, "SandboxChanged", message);
        }
        let config = translate::sandbox_config(&self.ctx, pod, attempt);
        if let Err(error) = tokio::fs::create_dir_all(&config.log_directory).await {
            warn!(pod = %pod.display(), %error, "log directory");
        }
        let runtime_handler = match self.runtime_handler(pod).await {
            Ok(handler) => handler,
            Err(why) => return Err(self.no_sandbox(pod, &why)),
        };
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler };
        match self.ctx.cri.run_pod_sandbox(request).await {
            Ok(response) => {
                info!(pod = %pod.display(), sandbox = response.pod_sandbox_id, attempt, "sandbox runs");
                self.memory.sandbox_failure = None;
                Ok(())
            }
            Err(error) => Err(self.no_sandbox(pod, &error.to_string())),
        }
    }

    /// Says that there is no sandbox; gives the time of the next try.
    fn no_sandbox(&mut self, pod: &Pod, why: &str) -> Timestamp {
        let message = format!("Failed to create pod sandbox: {why}");
        self.ctx.pod_event(pod, EventType::Warning, "FailedCreatePodSandBox", message);
        warn!(pod = %pod.display(), why, "no sandbox");
        self.memory.sandbox_failure = Some(self.ctx.now());
        self.ctx.now() + SANDBOX_RETRY
    }

    /// The runtime's name for what the pod's RuntimeClass asks for.
    async fn runtime_handler(&self, pod: &Pod) -> Result<String, String> {
        if pod.spec().host_users == Some(false) {
            return Err("user namespaces are not supported by this node yet".into());
        }
        let Some(class) = pod.spec().runtime_class_name.as_deref().filter(|class| !class.is_empty()) else {
            return Ok(String::new());
        };
        let api: kube::Api<RuntimeClass> = kube::Api::all(self.ctx.config.client.clone());
        api.get(class).await.map(|class| class.handler).map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            error => error.to_string(),
        })
    }

    fn back_off_event(&self, pod: &Pod, name: &str) {
        let Some((kind, _)) = pod.find_container(name) else { return };
        if self.memory.waiting.get(name).is_some_and(|known| known.reason == "CrashLoopBackOff") {
            return; // said once per wait, not at each look
        }
        let message = format!("Back-off restarting failed container {name} in pod {}", pod.display());
        self.ctx.container_event(pod, (kind, name), EventType::Warning, "BackOff", message);
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
