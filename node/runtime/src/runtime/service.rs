//! CRI's two services over the runtime: look up, filter, call, convert.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_cri::v1::{self, ImageService, RuntimeService};
use oarlock_cri::{ResponseStream, Status};

use super::record::{Container, Pod};
use super::{Runtime, convert};
use crate::images::{Auth, Reference};

/// How many items go in one message of a streamed list.
const BATCH: usize = 256;

/// What the gRPC server calls.
pub(crate) struct Service(pub(crate) Arc<Runtime>);

impl Service {
    fn select_pods(&self, filter: Option<v1::PodSandboxFilter>) -> Vec<v1::PodSandbox> {
        let filter = filter.unwrap_or_default();
        let wanted = |pod: &Pod| {
            (filter.id.is_empty() || pod.record.id.starts_with(&filter.id))
                && filter.state.as_ref().is_none_or(|want| want.state == convert::pod_state(pod) as i32)
                && convert::selects(&filter.label_selector, &pod.config().labels)
        };
        self.0.pods().iter().filter(|pod| wanted(pod)).map(|pod| convert::pod(pod)).collect()
    }

    fn select_containers(&self, filter: Option<v1::ContainerFilter>) -> Vec<v1::Container> {
        let filter = filter.unwrap_or_default();
        let wanted = |container: &Container| {
            let state = container.status().phase.state() as i32;
            (filter.id.is_empty() || container.record.id.starts_with(&filter.id))
                && (filter.pod_sandbox_id.is_empty()
                    || container.record.pod.starts_with(&filter.pod_sandbox_id))
                && filter.state.as_ref().is_none_or(|want| want.state == state)
                && convert::selects(&filter.label_selector, &container.config().labels)
        };
        self.0.containers().iter().filter(|c| wanted(c)).map(|c| convert::container(c)).collect()
    }

    fn select_images(&self, filter: Option<v1::ImageFilter>) -> Vec<v1::Image> {
        let name = filter.and_then(|filter| filter.image).map(|spec| spec.image).unwrap_or_default();
        if name.is_empty() {
            return self.0.images.list().iter().map(convert::image).collect();
        }
        self.0.images.find(&name).iter().map(convert::image).collect()
    }

    fn conditions(&self) -> Vec<v1::RuntimeCondition> {
        let ready = |kind: &str| v1::RuntimeCondition {
            r#type: kind.to_string(),
            status: true,
            ..v1::RuntimeCondition::default()
        };
        let network = match self.0.network() {
            Ok(_) => ready("NetworkReady"),
            Err(error) => v1::RuntimeCondition {
                r#type: "NetworkReady".to_string(),
                status: false,
                reason: "NetworkPluginNotReady".to_string(),
                message: format!("Network plugin returns error: {error}"),
            },
        };
        vec![ready("RuntimeReady"), network]
    }
}

/// Runs what walks or removes whole trees beside the tasks that serve calls.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}

/// A list as a stream of batches.
fn batches<T, R>(items: Vec<T>, wrap: impl Fn(Vec<T>) -> R + Send + 'static) -> ResponseStream<R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let items = items.into_iter();
    Box::pin(futures::stream::unfold((items, wrap), |(mut items, wrap)| async move {
        let batch: Vec<T> = items.by_ref().take(BATCH).collect();
        if batch.is_empty() { None } else { Some((Ok(wrap(batch)), (items, wrap))) }
    }))
}

#[async_trait]
impl RuntimeService for Service {
    async fn version(&self, _: v1::VersionRequest) -> Result<v1::VersionResponse, Status> {
        Ok(v1::VersionResponse {
            version: "0.1.0".to_string(),
            runtime_name: "oarlock".to_string(),
            runtime_version: env!("CARGO_PKG_VERSION").to_string(),
            runtime_api_version: "v1".to_string(),
        })
    }

    async fn run_pod_sandbox(
        &self,
        request: v1::RunPodSandboxRequest,
    ) -> Result<v1::RunPodSandboxResponse, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("sandbox config is required"))?;
        let work = self.0.clone().run_pod(config, request.runtime_handler);
        let runtime = self.0.clone();
        let undo = |id| runtime.remove_pod(id);
        let pod_sandbox_id = self.0.owned_or_undone("run-pod-sandbox", work, undo).await?;
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: v1::StopPodSandboxRequest,
    ) -> Result<v1::StopPodSandboxResponse, Status> {
        self.0.owned("stop-pod-sandbox", self.0.clone().stop_pod(request.pod_sandbox_id)).await?;
        Ok(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: v1::RemovePodSandboxRequest,
    ) -> Result<v1::RemovePodSandboxResponse, Status> {
        self.0.owned("remove-pod-sandbox", self.0.clone().remove_pod(request.pod_sandbox_id)).await?;
        Ok(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: v1::PodSandboxStatusRequest,
    ) -> Result<v1::PodSandboxStatusResponse, Status> {
        let pod = self.0.pod(&request.pod_sandbox_id)?;
        let containers = self.0.containers_of(&pod.record.id);
        let mut info = BTreeMap::new();
        if request.verbose {
            let status = pod.status();
            let facts = serde_json::json!({ "pid": status.shim_pid, "netns": pod.record.netns });
            info.insert("info".to_string(), facts.to_string());
        }
        Ok(v1::PodSandboxStatusResponse {
            status: Some(convert::pod_status(&pod)),
            info,
            containers_statuses: containers.iter().map(|c| convert::container_status(c)).collect(),
            timestamp: crate::disk::now_ns(),
        })
    }

    async fn list_pod_sandbox(
        &self,
        request: v1::ListPodSandboxRequest,
    ) -> Result<v1::ListPodSandboxResponse, Status> {
        Ok(v1::ListPodSandboxResponse { items: self.select_pods(request.filter) })
    }

    async fn stream_pod_sandboxes(
        &self,
        request: v1::StreamPodSandboxesRequest,
    ) -> Result<ResponseStream<v1::StreamPodSandboxesResponse>, Status> {
        let wrap = |pod_sandboxes| v1::StreamPodSandboxesResponse { pod_sandboxes };
        Ok(batches(self.select_pods(request.filter), wrap))
    }

    async fn create_container(
        &self,
        request: v1::CreateContainerRequest,
    ) -> Result<v1::CreateContainerResponse, Status> {
        let config =
            request.config.ok_or_else(|| Status::invalid_argument("container config is required"))?;
        let work = self.0.clone().create_container(request.pod_sandbox_id, config, request.sandbox_config);
        let runtime = self.0.clone();
        let undo = |id| runtime.remove_container(id);
        let container_id = self.0.owned_or_undone("create-container", work, undo).await?;
        Ok(v1::CreateContainerResponse { container_id })
    }

    async fn start_container(
        &self,
        request: v1::StartContainerRequest,
    ) -> Result<v1::StartContainerResponse, Status> {
        self.0.owned("start-container", self.0.clone().start_container(request.container_id)).await?;
        Ok(v1::StartContainerResponse {})
    }

    async fn stop_container(
        &self,
        request: v1::StopContainerRequest,
    ) -> Result<v1::StopContainerResponse, Status> {
        let work = self.0.clone().stop_container(request.container_id, request.timeout);
        self.0.owned("stop-container", work).await?;
        Ok(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: v1::RemoveContainerRequest,
    ) -> Result<v1::RemoveContainerResponse, Status> {
        self.0.owned("remove-container", self.0.clone().remove_container(request.container_id)).await?;
        Ok(v1::RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> Result<v1::ListContainersResponse, Status> {
        Ok(v1::ListContainersResponse { containers: self.select_containers(request.filter) })
    }

    async fn stream_containers(
        &self,
        request: v1::StreamContainersRequest,
    ) -> Result<ResponseStream<v1::StreamContainersResponse>, Status> {
        let wrap = |containers| v1::StreamContainersResponse { containers };
        Ok(batches(self.select_containers(request.filter), wrap))
    }

    async fn container_status(
        &self,
        request: v1::ContainerStatusRequest,
    ) -> Result<v1::ContainerStatusResponse, Status> {
        let container = self.0.container(&request.container_id)?;
        let info = if request.verbose { self.0.container_info(&container)? } else { BTreeMap::new() };
        Ok(v1::ContainerStatusResponse { status: Some(convert::container_status(&container)), info })
    }

    async fn update_container_resources(
        &self,
        request: v1::UpdateContainerResourcesRequest,
    ) -> Result<v1::UpdateContainerResourcesResponse, Status> {
        self.0.update_resources(&request.container_id, request.linux.unwrap_or_default())?;
        Ok(v1::UpdateContainerResourcesResponse {})
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: v1::UpdatePodSandboxResourcesRequest,
    ) -> Result<v1::UpdatePodSandboxResourcesResponse, Status> {
        // The pod's group is the kubelet's; without processes of its own a sandbox has no limits to change.
        self.0.pod(&request.pod_sandbox_id)?;
        Ok(v1::UpdatePodSandboxResourcesResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: v1::ReopenContainerLogRequest,
    ) -> Result<v1::ReopenContainerLogResponse, Status> {
        self.0.reopen_log(&request.container_id).await?;
        Ok(v1::ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, Status> {
        let work = self.0.clone().exec_sync(request.container_id, request.cmd, request.timeout);
        self.0.owned("exec-sync", work).await
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse, Status> {
        self.0.running(&request.container_id)?;
        Ok(v1::ExecResponse { url: self.0.streaming.exec(request)? })
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse, Status> {
        self.0.running(&request.container_id)?;
        Ok(v1::AttachResponse { url: self.0.streaming.attach(request)? })
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<v1::PortForwardResponse, Status> {
        let pod = self.0.pod(&request.pod_sandbox_id)?;
        if !pod.status().ready {
            let message = format!("sandbox container {:?} is not running", pod.record.id);
            return Err(Status::failed_precondition(message));
        }
        Ok(v1::PortForwardResponse { url: self.0.streaming.port_forward(request)? })
    }

    async fn container_stats(
        &self,
        request: v1::ContainerStatsRequest,
    ) -> Result<v1::ContainerStatsResponse, Status> {
        let container = self.0.container(&request.container_id)?;
        Ok(v1::ContainerStatsResponse { stats: Some(self.0.container_stats(&container)) })
    }

    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse, Status> {
        Ok(v1::ListContainerStatsResponse { stats: self.0.list_container_stats(request.filter) })
    }

    async fn stream_container_stats(
        &self,
        request: v1::StreamContainerStatsRequest,
    ) -> Result<ResponseStream<v1::StreamContainerStatsResponse>, Status> {
        let wrap = |container_stats| v1::StreamContainerStatsResponse { container_stats };
        Ok(batches(self.0.list_container_stats(request.filter), wrap))
    }

    async fn pod_sandbox_stats(
        &self,
        request: v1::PodSandboxStatsRequest,
    ) -> Result<v1::PodSandboxStatsResponse, Status> {
        let pod = self.0.pod(&request.pod_sandbox_id)?;
        Ok(v1::PodSandboxStatsResponse { stats: Some(self.0.pod_stats(&pod)) })
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: v1::ListPodSandboxStatsRequest,
    ) -> Result<v1::ListPodSandboxStatsResponse, Status> {
        Ok(v1::ListPodSandboxStatsResponse { stats: self.0.list_pod_stats(request.filter) })
    }

    async fn stream_pod_sandbox_stats(
        &self,
        request: v1::StreamPodSandboxStatsRequest,
    ) -> Result<ResponseStream<v1::StreamPodSandboxStatsResponse>, Status> {
        let wrap = |pod_sandbox_stats| v1::StreamPodSandboxStatsResponse { pod_sandbox_stats };
        Ok(batches(self.0.list_pod_stats(request.filter), wrap))
    }

    async fn update_runtime_config(
        &self,
        _: v1::UpdateRuntimeConfigRequest,
    ) -> Result<v1::UpdateRuntimeConfigResponse, Status> {
        // The pod range matters to runtimes that write their own network configuration; this one never does.
        Ok(v1::UpdateRuntimeConfigResponse {})
    }

    async fn status(&self, request: v1::StatusRequest) -> Result<v1::StatusResponse, Status> {
        let mut info = BTreeMap::new();
        if request.verbose {
            let facts = serde_json::json!({
                "root": self.0.config.root_dir, "run": self.0.config.run_dir,
                "cni": { "confDir": self.0.config.cni_conf_dir, "binDirs": self.0.config.cni_bin_dirs },
                "seccomp": "RuntimeDefault is a filter of the runtime's own; Localhost profiles are refused",
            });
            info.insert("config".to_string(), facts.to_string());
        }
        let features =
            v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
        let handler =
            |name: &str| v1::RuntimeHandler { name: name.to_string(), features: Some(features.clone()) };
        Ok(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions: self.conditions() }),
            info,
            runtime_handlers: vec![handler(""), handler("oarlock")],
            features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true, ..Default::default() }),
        })
    }

    async fn get_container_events(
        &self,
        _: v1::GetEventsRequest,
    ) -> Result<ResponseStream<v1::ContainerEventResponse>, Status> {
        Ok(self.0.listen())
    }

    async fn runtime_config(&self, _: v1::RuntimeConfigRequest) -> Result<v1::RuntimeConfigResponse, Status> {
        let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: v1::CgroupDriver::Cgroupfs as i32 };
        Ok(v1::RuntimeConfigResponse { linux: Some(linux) })
    }
}

#[async_trait]
impl ImageService for Service {
    async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Status> {
        Ok(v1::ListImagesResponse { images: self.select_images(request.filter) })
    }

    async fn stream_images(
        &self,
        request: v1::StreamImagesRequest,
    ) -> Result<ResponseStream<v1::StreamImagesResponse>, Status> {
        let wrap = |images| v1::StreamImagesResponse { images };
        Ok(batches(self.select_images(request.filter), wrap))
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse, Status> {
        let name = request.image.unwrap_or_default().image;
        // An image that is not there is an empty answer, not an error (CRI).
        let Some(image) = self.0.images.find(&name) else { return Ok(v1::ImageStatusResponse::default()) };
        let mut info = BTreeMap::new();
        if let (true, Some(config)) = (request.verbose, self.0.images.config_text(&image)) {
            let spec: serde_json::Value = serde_json::from_str(&config).unwrap_or_default();
            let facts = serde_json::json!({ "imageSpec": spec });
            info.insert("info".to_string(), facts.to_string());
        }
        Ok(v1::ImageStatusResponse { image: Some(convert::image(&image)), info })
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse, Status> {
        let name = request.image.unwrap_or_default().image;
        let auth = request.auth.unwrap_or_default();
        let auth = Auth {
            username: auth.username,
            password: auth.password,
            encoded: auth.auth,
            registry_token: auth.registry_token,
        };
        let image_ref = self.0.pull(&name, &auth).await?;
        Ok(v1::PullImageResponse { image_ref })
    }

    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<v1::RemoveImageResponse, Status> {
        let name = request.image.unwrap_or_default().image;
        let runtime = self.0.clone();
        blocking(move || runtime.remove_image(&name)).await??;
        Ok(v1::RemoveImageResponse {})
    }

    async fn image_fs_info(&self, _: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse, Status> {
        let runtime = self.0.clone();
        blocking(move || runtime.image_fs()).await
    }
}

impl Runtime {
    fn network(&self) -> Result<crate::sandbox::cni::Network, crate::sandbox::cni::CniError> {
        self.cni.network()
    }

    /// Pulls an image; what there already is under a digest is not fetched again.
    async fn pull(&self, name: &str, auth: &Auth) -> Result<String, super::RuntimeError> {
        let reference: Reference = name.parse()?;
        let known = self.images.find(name).filter(|image| image.pinned || reference.digest.is_some());
        let image = match known {
            Some(image) => image,
            None => {
                let stop = self.tasks.shutdown();
                self.images.pull(&reference, auth, &self.config.registries, stop).await?
            }
        };
        Ok(image.id)
    }

    /// Removes an image; that there is none is success, as CRI wants it.
    fn remove_image(&self, name: &str) -> Result<(), super::RuntimeError> {
        match self.images.remove(name, &self.layers_in_use()) {
            Err(crate::images::ImageError::NotFound(_)) => Ok(()),
            other => Ok(other?),
        }
    }
}
