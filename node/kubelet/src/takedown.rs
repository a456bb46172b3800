//! Taking a node's pods down without the API: for `oarlock down`, and for an all-in-one process that takes its pods with it.

use futures::future::join_all;
use oarlock_cri::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest, ListPodSandboxRequest,
    RemovePodSandboxRequest, StopContainerRequest, StopPodSandboxRequest,
};
use oarlock_cri::{CallError, Client};
use tracing::warn;

use crate::observed::LABEL_POD_UID;

/// Stops every pod of this runtime, giving its containers `grace_seconds` between SIGTERM and SIGKILL, and removes it. Gives
/// the number of sandboxes removed. The API is not told: with it, the pods would be started again.
pub async fn take_down(cri_endpoint: &str, grace_seconds: i64) -> Result<usize, CallError> {
    let cri = Client::connect(cri_endpoint);
    let running = Some(ContainerStateValue { state: ContainerState::ContainerRunning.into() });
    let filter = Some(ContainerFilter { state: running, ..Default::default() });
    let containers = cri.list_containers(ListContainersRequest { filter }).await?.containers;
    let stops = containers.into_iter().filter(|container| container.labels.contains_key(LABEL_POD_UID));
    join_all(stops.map(|container| {
        let request = StopContainerRequest { container_id: container.id, timeout: grace_seconds };
        log_failure("container not stopped", cri.stop_container(request))
    }))
    .await;
    let sandboxes = cri.list_pod_sandbox(ListPodSandboxRequest::default()).await?.items;
    let ours = sandboxes.into_iter().filter(|sandbox| sandbox.labels.contains_key(LABEL_POD_UID));
    let removed = join_all(ours.map(|sandbox| {
        let cri = &cri;
        async move {
            let stop = StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            log_failure("sandbox not stopped", cri.stop_pod_sandbox(stop)).await;
            let remove = RemovePodSandboxRequest { pod_sandbox_id: sandbox.id };
            log_failure("sandbox not removed", cri.remove_pod_sandbox(remove)).await
        }
    }))
    .await;
    Ok(removed.into_iter().filter(|done| *done).count())
}

async fn log_failure<T>(what: &str, call: impl Future<Output = Result<T, CallError>>) -> bool {
    match call.await {
        Ok(_) => true,
        Err(error) if error.is_not_found() => true,
        Err(error) => {
            warn!(%error, what);
            false
        }
    }
}
