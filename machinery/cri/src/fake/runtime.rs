//! `RuntimeService` over the fake's state.

use std::collections::BTreeMap;

use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::FakeRuntime;
use super::state::{exit_of, not_found};
use crate::ResponseStream;
use crate::v1::*;

fn labels_match(want: &BTreeMap<String, String>, have: &BTreeMap<String, String>) -> bool {
    want.iter().all(|(key, value)| have.get(key) == Some(value))
}

#[tonic::async_trait]
impl RuntimeService for FakeRuntime {
    async fn version(&self, _: VersionRequest) -> Result<VersionResponse, Status> {
        Ok(VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "fake".into(),
            runtime_version: "0.1.0".into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn status(&self, _: StatusRequest) -> Result<StatusResponse, Status> {
        let network = !self.state.lock().network_down;
        let condition = |name: &str, status: bool| RuntimeCondition {
            r#type: name.into(),
            status,
            reason: if status { String::new() } else { "NetworkPluginNotReady".into() },
            message: if status { String::new() } else { "Network plugin returns error: not yet".into() },
        };
        let conditions = vec![condition("RuntimeReady", true), condition("NetworkReady", network)];
        Ok(StatusResponse { status: Some(RuntimeStatus { conditions }), ..Default::default() })
    }

    async fn runtime_config(&self, _: RuntimeConfigRequest) -> Result<RuntimeConfigResponse, Status> {
        let linux = LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() };
        Ok(RuntimeConfigResponse { linux: Some(linux) })
    }

    async fn update_runtime_config(
        &self,
        _: UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, Status> {
        Ok(UpdateRuntimeConfigResponse {})
    }

    async fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Result<RunPodSandboxResponse, Status> {
        let (pod_sandbox_id, event) = {
            let mut state = self.state.lock();
            state.called("RunPodSandbox")?;
            let config = request.config.ok_or_else(|| Status::invalid_argument("no sandbox config"))?;
            let id = state.run_sandbox(config, request.runtime_handler);
            let event = state.event(&id, &id, ContainerEventType::ContainerStartedEvent);
            (id, event)
        };
        self.publish(event);
        Ok(RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: StopPodSandboxRequest,
    ) -> Result<StopPodSandboxResponse, Status> {
        let events = {
            let mut state = self.state.lock();
            state.called("StopPodSandbox")?;
            state.stop_sandbox(&request.pod_sandbox_id)
        };
        events.into_iter().for_each(|event| self.publish(Some(event)));
        Ok(StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, Status> {
        let id = request.pod_sandbox_id;
        let events = {
            let mut state = self.state.lock();
            state.called("RemovePodSandbox")?;
            let mut events = state.stop_sandbox(&id);
            let containers: Vec<String> = state.containers_of(&id).map(|c| c.id.clone()).collect();
            for container in containers {
                events.extend(state.remove_container(&container));
            }
            events.extend(state.event(&id, &id, ContainerEventType::ContainerDeletedEvent));
            state.sandboxes.remove(&id);
            events
        };
        events.into_iter().for_each(|event| self.publish(Some(event)));
        Ok(RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Status> {
        let state = self.state.lock();
        let id = &request.pod_sandbox_id;
        let sandbox = state.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?;
        Ok(PodSandboxStatusResponse {
            status: Some(sandbox.status()),
            containers_statuses: state.containers_of(id).map(|c| c.status()).collect(),
            ..Default::default()
        })
    }

    async fn list_pod_sandbox(
        &self,
        request: ListPodSandboxRequest,
    ) -> Result<ListPodSandboxResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let wanted = |sandbox: &PodSandbox| {
            (filter.id.is_empty() || sandbox.id.starts_with(&filter.id))
                && filter.state.as_ref().is_none_or(|state| state.state == sandbox.state)
                && labels_match(&filter.label_selector, &sandbox.labels)
        };
        let state = self.state.lock();
        Ok(ListPodSandboxResponse {
            items: state.sandboxes.values().map(|s| s.summary()).filter(wanted).collect(),
        })
    }

    async fn create_container(
        &self,
        request: CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Status> {
        let (container_id, event) = {
            let mut state = self.state.lock();
            state.called("CreateContainer")?;
            let config = request.config.ok_or_else(|| Status::invalid_argument("no container config"))?;
            let id = state.create(&request.pod_sandbox_id, config)?;
            let event = state.event(&id, &request.pod_sandbox_id, ContainerEventType::ContainerCreatedEvent);
            (id, event)
        };
        self.publish(event);
        Ok(CreateContainerResponse { container_id })
    }

    async fn start_container(
        &self,
        request: StartContainerRequest,
    ) -> Result<StartContainerResponse, Status> {
        let events = {
            let mut state = self.state.lock();
            state.called("StartContainer")?;
            state.start(&request.container_id)?
        };
        events.into_iter().for_each(|event| self.publish(Some(event)));
        Ok(StartContainerResponse {})
    }

    async fn stop_container(&self, request: StopContainerRequest) -> Result<StopContainerResponse, Status> {
        let event = {
            let mut state = self.state.lock();
            state.called("StopContainer")?;
            state.exit(&request.container_id, if request.timeout > 0 { 143 } else { 137 })
        };
        self.publish(event);
        Ok(StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, Status> {
        let events = {
            let mut state = self.state.lock();
            state.called("RemoveContainer")?;
            state.remove_container(&request.container_id)
        };
        events.into_iter().for_each(|event| self.publish(Some(event)));
        Ok(RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: ListContainersRequest,
    ) -> Result<ListContainersResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let wanted = |container: &Container| {
            (filter.id.is_empty() || container.id.starts_with(&filter.id))
                && (filter.pod_sandbox_id.is_empty() || container.pod_sandbox_id == filter.pod_sandbox_id)
                && filter.state.as_ref().is_none_or(|state| state.state == container.state)
                && labels_match(&filter.label_selector, &container.labels)
        };
        let state = self.state.lock();
        let containers = state.containers.values().map(|c| c.summary()).filter(wanted).collect();
        Ok(ListContainersResponse { containers })
    }

    async fn container_status(
        &self,
        request: ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, Status> {
        let state = self.state.lock();
        let id = &request.container_id;
        let container = state.containers.get(id).ok_or_else(|| not_found("container", id))?;
        Ok(ContainerStatusResponse { status: Some(container.status()), ..Default::default() })
    }

    async fn update_container_resources(
        &self,
        request: UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Status> {
        let mut state = self.state.lock();
        state.called("UpdateContainerResources")?;
        let id = &request.container_id;
        let container = state.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        if let Some(resources) = request.linux {
            container.config.linux.get_or_insert_default().resources = Some(resources);
        }
        Ok(UpdateContainerResourcesResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, Status> {
        let mut state = self.state.lock();
        state.called("ReopenContainerLog")?;
        let id = &request.container_id;
        match state.containers.get(id) {
            Some(container) if container.running() => Ok(ReopenContainerLogResponse {}),
            Some(_) => Err(Status::failed_precondition("container is not running")),
            None => Err(not_found("container", id)),
        }
    }

    async fn exec_sync(&self, request: ExecSyncRequest) -> Result<ExecSyncResponse, Status> {
        let (exit_code, stdout) = {
            let mut state = self.state.lock();
            state.called("ExecSync")?;
            let id = &request.container_id;
            let container = state.containers.get(id).ok_or_else(|| not_found("container", id))?;
            if !container.running() {
                return Err(Status::failed_precondition("container is not running"));
            }
            match state.execs.get(&request.cmd) {
                Some(scripted) => scripted.clone(),
                None if request.cmd.first().is_some_and(|word| word == "hang") => (-1, String::new()),
                None => exit_of(&request.cmd).unwrap_or_else(|| (0, request.cmd[1..].join(" ") + "\n")),
            }
        };
        if exit_code == -1 {
            let timeout =
                u64::try_from(request.timeout).ok().filter(|&seconds| seconds > 0).unwrap_or(u64::MAX);
            tokio::time::sleep(std::time::Duration::from_secs(timeout.min(86_400))).await;
            return Err(Status::deadline_exceeded(format!("command timed out after {timeout} s")));
        }
        Ok(ExecSyncResponse { stdout: stdout.into_bytes(), stderr: Vec::new(), exit_code })
    }

    async fn list_container_stats(
        &self,
        _: ListContainerStatsRequest,
    ) -> Result<ListContainerStatsResponse, Status> {
        let state = self.state.lock();
        let value = |value| Some(UInt64Value { value });
        let stats = state.containers.values().filter(|c| c.running()).map(|container| ContainerStats {
            attributes: Some(ContainerAttributes {
                id: container.id.clone(),
                metadata: container.config.metadata.clone(),
                labels: container.config.labels.clone(),
                annotations: container.config.annotations.clone(),
            }),
            cpu: Some(CpuUsage { usage_core_nano_seconds: value(1_500_000_000), ..Default::default() }),
            memory: Some(MemoryUsage { working_set_bytes: value(4096), ..Default::default() }),
            ..Default::default()
        });
        Ok(ListContainerStatsResponse { stats: stats.collect() })
    }

    async fn get_container_events(
        &self,
        _: GetEventsRequest,
    ) -> Result<ResponseStream<ContainerEventResponse>, Status> {
        let receiver = self.events.subscribe();
        Ok(Box::pin(futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), receiver)),
                Err(RecvError::Lagged(_)) => Some((Err(Status::data_loss("events were lost")), receiver)),
                Err(RecvError::Closed) => None,
            }
        })))
    }
}
