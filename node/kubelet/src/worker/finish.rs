//! The end of a pod: one that ran to its end keeps its containers for their logs; one that is deleted leaves nothing.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use oarlock_client::{is_conflict, is_not_found};
use oarlock_cri::CallError;
use oarlock_cri::v1::{RemovePodSandboxRequest, StopPodSandboxRequest};
use tracing::{info, warn};

use super::{Input, Next, Worker};
use crate::observed::Observed;
use crate::pod::PodExt as _;

const RETRY: SignedDuration = SignedDuration::from_secs(2);

impl Worker {
    /// A pod in a terminal phase: everything that still runs is stopped, volumes and cgroup are given back.
    pub(super) async fn finish(&mut self, pod: &Arc<Pod>) -> Next {
        if self.reclaimed {
            return Next::Wait(None);
        }
        let grace = pod.grace_seconds();
        let stopped = tokio::select! {
            stopped = self.stop_everything(pod, grace) => stopped,
            () = self.ending_within(None) => return Next::Wait(Some(self.ctx.now())),
        };
        match stopped {
            Ok(observed) => {
                self.publish(pod, &observed, true);
                self.reclaim(pod).await;
                info!(pod = %pod.display(), "pod finished");
                Next::Wait(None)
            }
            Err(error) => self.retry(pod, &error),
        }
    }

    /// A pod that is being deleted, or is gone already.
    pub(super) async fn terminate(&mut self, input: &Input) -> Next {
        let pod = &input.pod;
        if !self.reclaimed {
            let grace = input.grace();
            let stopped = tokio::select! {
                stopped = self.stop_everything(pod, grace) => stopped,
                () = self.ending_within(Some(grace)) => return Next::Wait(Some(self.ctx.now())),
            };
            let observed = match stopped {
                Ok(observed) => observed,
                Err(error) => return self.retry(pod, &error),
            };
            self.reclaim(pod).await;
            if !input.gone {
                self.publish(pod, &observed, true);
                self.ctx.status.settled(&self.uid).await;
            }
        }
        if !input.gone && !pod.is_static() && !self.delete_from_api(pod).await {
            return Next::Wait(Some(self.ctx.now() + RETRY));
        }
        match self.remove_everything().await {
            Ok(()) => {}
            Err(error) => return self.retry(pod, &error),
        }
        let logs = self.ctx.log_dir(pod);
        remove_dir(&logs).await;
        self.ctx.volumes.remove_pod_dir(&self.uid).await;
        self.ctx.status.forget(&self.uid);
        info!(pod = %pod.display(), "pod gone");
        Next::Over
    }

    fn retry(&self, pod: &Pod, error: &CallError) -> Next {
        warn!(pod = %pod.display(), %error, "the pod is not stopped yet");
        Next::Wait(Some(self.ctx.now() + RETRY))
    }

    async fn stop_everything(&self, pod: &Pod, grace: i64) -> Result<Observed, CallError> {
        self.probes.stop_all();
        let observed = self.ctx.observer.observe(&self.uid).await?;
        self.kill_all(pod, &observed, grace).await;
        for sandbox in &observed.sandboxes {
            let request = StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            match self.ctx.cri.stop_pod_sandbox(request).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        if observed.sandboxes.is_empty() { Ok(observed) } else { self.ctx.observer.observe(&self.uid).await }
    }

    /// Gives back what only a running pod needs.
    async fn reclaim(&mut self, pod: &Pod) {
        self.ctx.volumes.unmount_dirs(&self.uid).await;
        if let Some(cgroups) = &self.ctx.cgroups {
            cgroups.remove_pod(pod).await;
        }
        self.reclaimed = true;
    }

    async fn remove_everything(&self) -> Result<(), CallError> {
        let observed = self.ctx.observer.observe(&self.uid).await?;
        for seen in &observed.containers {
            self.remove(seen.id()).await;
        }
        for sandbox in observed.sandboxes {
            let request = RemovePodSandboxRequest { pod_sandbox_id: sandbox.id };
            match self.ctx.cri.remove_pod_sandbox(request).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells the API that nothing of the pod runs any more, which ends its deletion. `false`: to be tried again.
    async fn delete_from_api(&self, pod: &Pod) -> bool {
        let api: Api<Pod> = Api::namespaced(self.ctx.config.client.clone(), pod.namespace());
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(pod.uid_str().to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(pod.name(), &params).await {
            Ok(_) => true,
            Err(error) if is_not_found(&error) || is_conflict(&error) => true,
            Err(error) => {
                warn!(pod = %pod.display(), %error, "the API did not take the deletion");
                false
            }
        }
    }
}

async fn remove_dir(path: &std::path::Path) {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "directory not removed");
        }
        _ => {}
    }
}
