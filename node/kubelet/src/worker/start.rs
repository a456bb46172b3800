//! Starting one container: image, configuration, create, start, postStart.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use oarlock_client::EventType;
use oarlock_cri::v1::{CreateContainerRequest, RemoveContainerRequest, StartContainerRequest};
use tracing::{info, warn};

use super::plan::{crash_key, time};
use super::{Waiting, Worker, run_hook};
use crate::images::{PullError, PullPolicy};
use crate::observed::Observed;
use crate::pod::{Kind, PodExt as _};
use crate::translate::{self, ConfigError};

const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What a container waits for, and what is said about it.
struct Failure {
    waiting: Waiting,
    event: Option<(EventType, &'static str, String)>,
    retry: SignedDuration,
}

impl Failure {
    fn new(reason: &str, message: String) -> Self {
        let event = Some((EventType::Warning, "Failed", format!("Error: {message}")));
        Self { waiting: Waiting::new(reason, message), event, retry: RETRY }
    }
}

impl Failure {
    /// A failure whose event names only the reason; another event has told the story.
    fn image(reason: &str, message: String) -> Self {
        let event = Some((EventType::Warning, "Failed", format!("Error: {reason}")));
        Self { waiting: Waiting::new(reason, message), event, retry: RETRY }
    }
}

impl Worker {
    pub(super) async fn start_container(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        kind: Kind,
        name: &str,
        restarts: i32,
    ) -> Result<(), Timestamp> {
        let Some((_, container)) = pod.find_container(name) else { return Ok(()) };
        match self.try_start(pod, observed, kind, &container, restarts).await {
            Ok(()) => {
                self.memory.waiting.remove(name);
                Ok(())
            }
            Err(failure) => {
                let news = self.memory.waiting.get(name) != Some(&failure.waiting);
                if let Some((event, reason, message)) = failure.event
                    && news
                {
                    self.ctx.container_event(pod, (kind, name), event, reason, message);
                }
                if news {
                    let (reason, message) = (&failure.waiting.reason, &failure.waiting.message);
                    warn!(pod = %pod.display(), container = name, reason, message, "container not started");
                }
                self.memory.waiting.insert(name.to_owned(), failure.waiting);
                Err(self.ctx.now() + failure.retry)
            }
        }
    }

    async fn try_start(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        kind: Kind,
        container: &Container,
        restarts: i32,
    ) -> Result<(), Failure> {
        let image_ref = self.ensure_image(pod, kind, container).await?;
        let sandbox = observed
            .sandbox()
            .ok_or_else(|| Failure::new("RunContainerError", "the sandbox is not ready".into()))?;
        let made =
            translate::container_config(&self.ctx, pod, kind, container, observed, restarts, &image_ref)
                .await;
        let config = made.map_err(|error| match error {
            ConfigError::Config(message) => Failure::new("CreateContainerConfigError", message),
            ConfigError::Create(message) => Failure::new("CreateContainerError", message),
        })?;
        let sandbox_attempt = sandbox.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.id.clone(),
            config: Some(config),
            sandbox_config: Some(translate::sandbox_config(&self.ctx, pod, sandbox_attempt)),
        };
        let created = self.ctx.cri.create_container(request).await;
        let id = created.map_err(|e| Failure::new("CreateContainerError", e.message))?.container_id;
        self.ctx.container_event(
            pod,
            (kind, &container.name),
            EventType::Normal,
            "Created",
            "Container created",
        );
        self.count_crash(observed, container);
        let start = StartContainerRequest { container_id: id.clone() };
        if let Err(error) = self.ctx.cri.start_container(start).await {
            return Err(Failure::new("RunContainerError", error.message));
        }
        self.ctx.container_event(
            pod,
            (kind, &container.name),
            EventType::Normal,
            "Started",
            "Container started",
        );
        info!(pod = %pod.display(), container = %container.name, id, restarts, "container started");
        self.post_start(pod, kind, container, observed, &id).await
    }

    /// A start after an exit counts towards the back-off.
    fn count_crash(&mut self, observed: &Observed, container: &Container) {
        if let Some(seen) = observed.newest(&container.name).filter(|seen| seen.exited()) {
            let failed_at = time(seen.status.finished_at);
            self.memory.crashes.count(&crash_key(container), failed_at, self.ctx.now());
        }
    }

    async fn post_start(
        &mut self,
        pod: &Pod,
        kind: Kind,
        container: &Container,
        observed: &Observed,
        id: &str,
    ) -> Result<(), Failure> {
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref())
        else {
            return Ok(());
        };
        let ip = crate::pod_ip(&self.ctx, pod, observed);
        let ran = tokio::select! {
            ran = run_hook(&self.ctx, pod, container, id, hook, ip) => ran,
            () = self.ending_within(None) => return Ok(()),
        };
        let Err(error) = ran else { return Ok(()) };
        let message = format!("PostStartHook failed: {error}");
        self.ctx.container_event(
            pod,
            (kind, &container.name),
            EventType::Warning,
            "FailedPostStartHook",
            &message,
        );
        let grace = pod.grace_seconds();
        self.kill_container(pod, container, kind, id, "FailedPostStartHook", grace).await;
        Err(Failure {
            waiting: Waiting::new("PostStartHookError", message),
            event: None,
            retry: SignedDuration::from_secs(1),
        })
    }

    /// The reference of the image to use; pulls it where the policy asks for that.
    async fn ensure_image(
        &mut self,
        pod: &Pod,
        kind: Kind,
        container: &Container,
    ) -> Result<String, Failure> {
        let image = container.image.clone().unwrap_or_default();
        let about = (kind, container.name.as_str());
        let Some(name) = crate::images::with_tag(&image) else {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format"
            );
            self.ctx.container_event(pod, about, EventType::Warning, "InspectFailed", &message);
            return Err(Failure::image("InvalidImageName", message));
        };
        let policy = PullPolicy::of(container, &name);
        let present = match self.ctx.images.status(&name).await {
            Ok(present) => present,
            Err(error) => {
                let message = format!("Failed to inspect image {name:?}: {error}");
                self.ctx.container_event(pod, about, EventType::Warning, "InspectFailed", &message);
                return Err(Failure::image("ImageInspectError", message));
            }
        };
        match (policy, present) {
            (PullPolicy::Never | PullPolicy::IfNotPresent, Some(image_ref)) => {
                let message = format!(
                    "Container image {name:?} already present on machine and can be accessed by the pod"
                );
                self.ctx.container_event(pod, about, EventType::Normal, "Pulled", message);
                Ok(image_ref)
            }
            (PullPolicy::Never, None) => {
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                self.ctx.container_event(pod, about, EventType::Warning, "ErrImageNeverPull", &message);
                Err(Failure::image("ErrImageNeverPull", message))
            }
            (PullPolicy::Always | PullPolicy::IfNotPresent, _) => self.pull(pod, about, &name).await,
        }
    }

    async fn pull(&mut self, pod: &Pod, about: (Kind, &str), name: &str) -> Result<String, Failure> {
        if let Some(failure) = self.pull_back_off(pod, about, name) {
            return Err(failure);
        }
        self.ctx.container_event(pod, about, EventType::Normal, "Pulling", format!("Pulling image {name:?}"));
        let pulled = tokio::select! {
            pulled = self.ctx.images.pull(&self.ctx, pod, name) => pulled,
            () = self.ending_within(None) => Err(PullError::Cancelled),
        };
        match pulled {
            Ok(pulled) => {
                self.memory.failed_pulls.remove(name);
                self.memory.pulls.reset(name);
                let took = pulled.took_text();
                let message = format!(
                    "Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    pulled.size
                );
                self.ctx.container_event(pod, about, EventType::Normal, "Pulled", message);
                Ok(pulled.image_ref)
            }
            Err(error) => Err(self.pull_failed(pod, about, name, &error)),
        }
    }

    fn pull_back_off(&self, pod: &Pod, about: (Kind, &str), name: &str) -> Option<Failure> {
        let (failed_at, error) = self.memory.failed_pulls.get(name)?;
        let now = self.ctx.now();
        let (_, until) = self.memory.pulls.holding(name, *failed_at, now)?;
        let known =
            self.memory.waiting.get(about.1).is_some_and(|waiting| waiting.reason == "ImagePullBackOff");
        if !known {
            let message = format!("Back-off pulling image {name:?}");
            self.ctx.container_event(pod, about, EventType::Normal, "BackOff", message);
        }
        let message = format!("Back-off pulling image {name:?}: ErrImagePull: {error}");
        Some(Failure {
            waiting: Waiting::new("ImagePullBackOff", message),
            event: Some((EventType::Warning, "Failed", "Error: ImagePullBackOff".into())),
            retry: until.duration_since(now),
        })
    }

    fn pull_failed(&mut self, pod: &Pod, about: (Kind, &str), name: &str, error: &PullError) -> Failure {
        let text = error.to_string();
        let now = self.ctx.now();
        if !matches!(error, PullError::Cancelled) {
            let message = format!("Failed to pull image {name:?}: {text}");
            self.ctx.container_event(pod, about, EventType::Warning, "Failed", message);
        }
        self.memory.pulls.count(name, now, now);
        self.memory.failed_pulls.insert(name.to_owned(), (now, text.clone()));
        Failure {
            waiting: Waiting::new("ErrImagePull", text),
            event: Some((EventType::Warning, "Failed", "Error: ErrImagePull".into())),
            // Soon enough for the status to say that it is backing off.
            retry: SignedDuration::from_secs(1),
        }
    }

    /// Takes away a container that was made and could not be used.
    pub(super) async fn remove(&self, container_id: &str) {
        let request = RemoveContainerRequest { container_id: container_id.to_owned() };
        if let Err(error) = self.ctx.cri.remove_container(request).await {
            warn!(pod = %self.uid, container = container_id, %error, "container not removed");
        }
        self.ctx.observer.forget(container_id);
    }
}
