// Written by `cargo xtask codegen` from the facts of CRI v1. Do not edit.

use super::*;
use crate::wire::*;

impl crate::Client {
    pub async fn attach(&self, request: AttachRequest) -> Result<AttachResponse, crate::CallError> {
        self.unary("Attach", "/runtime.v1.RuntimeService/Attach", request).await
    }

    pub async fn checkpoint_container(
        &self,
        request: CheckpointContainerRequest,
    ) -> Result<CheckpointContainerResponse, crate::CallError> {
        self.unary("CheckpointContainer", "/runtime.v1.RuntimeService/CheckpointContainer", request).await
    }

    pub async fn container_stats(
        &self,
        request: ContainerStatsRequest,
    ) -> Result<ContainerStatsResponse, crate::CallError> {
        self.unary("ContainerStats", "/runtime.v1.RuntimeService/ContainerStats", request).await
    }

    pub async fn container_status(
        &self,
        request: ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, crate::CallError> {
        self.unary("ContainerStatus", "/runtime.v1.RuntimeService/ContainerStatus", request).await
    }

    pub async fn create_container(
        &self,
        request: CreateContainerRequest,
    ) -> Result<CreateContainerResponse, crate::CallError> {
        self.unary("CreateContainer", "/runtime.v1.RuntimeService/CreateContainer", request).await
    }

    pub async fn exec(&self, request: ExecRequest) -> Result<ExecResponse, crate::CallError> {
        self.unary("Exec", "/runtime.v1.RuntimeService/Exec", request).await
    }

    pub async fn get_container_events(
        &self,
        request: GetEventsRequest,
    ) -> Result<tonic::Streaming<ContainerEventResponse>, crate::CallError> {
        self.streaming("GetContainerEvents", "/runtime.v1.RuntimeService/GetContainerEvents", request).await
    }

    pub async fn list_container_stats(
        &self,
        request: ListContainerStatsRequest,
    ) -> Result<ListContainerStatsResponse, crate::CallError> {
        self.unary("ListContainerStats", "/runtime.v1.RuntimeService/ListContainerStats", request).await
    }

    pub async fn list_containers(
        &self,
        request: ListContainersRequest,
    ) -> Result<ListContainersResponse, crate::CallError> {
        self.unary("ListContainers", "/runtime.v1.RuntimeService/ListContainers", request).await
    }

    pub async fn list_metric_descriptors(
        &self,
        request: ListMetricDescriptorsRequest,
    ) -> Result<ListMetricDescriptorsResponse, crate::CallError> {
        self.unary("ListMetricDescriptors", "/runtime.v1.RuntimeService/ListMetricDescriptors", request).await
    }

    pub async fn list_pod_sandbox(
        &self,
        request: ListPodSandboxRequest,
    ) -> Result<ListPodSandboxResponse, crate::CallError> {
        self.unary("ListPodSandbox", "/runtime.v1.RuntimeService/ListPodSandbox", request).await
    }

    pub async fn list_pod_sandbox_metrics(
        &self,
        request: ListPodSandboxMetricsRequest,
    ) -> Result<ListPodSandboxMetricsResponse, crate::CallError> {
        self.unary("ListPodSandboxMetrics", "/runtime.v1.RuntimeService/ListPodSandboxMetrics", request).await
    }

    pub async fn list_pod_sandbox_stats(
        &self,
        request: ListPodSandboxStatsRequest,
    ) -> Result<ListPodSandboxStatsResponse, crate::CallError> {
        self.unary("ListPodSandboxStats", "/runtime.v1.RuntimeService/ListPodSandboxStats", request).await
    }

    pub async fn pod_sandbox_stats(
        &self,
        request: PodSandboxStatsRequest,
    ) -> Result<PodSandboxStatsResponse, crate::CallError> {
        self.unary("PodSandboxStats", "/runtime.v1.RuntimeService/PodSandboxStats", request).await
    }

    pub async fn pod_sandbox_status(
        &self,
        request: PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, crate::CallError> {
        self.unary("PodSandboxStatus", "/runtime.v1.RuntimeService/PodSandboxStatus", request).await
    }

    pub async fn port_forward(
        &self,
        request: PortForwardRequest,
    ) -> Result<PortForwardResponse, crate::CallError> {
        self.unary("PortForward", "/runtime.v1.RuntimeService/PortForward", request).await
    }

    pub async fn remove_container(
        &self,
        request: RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, crate::CallError> {
        self.unary("RemoveContainer", "/runtime.v1.RuntimeService/RemoveContainer", request).await
    }

    pub async fn remove_pod_sandbox(
        &self,
        request: RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, crate::CallError> {
        self.unary("RemovePodSandbox", "/runtime.v1.RuntimeService/RemovePodSandbox", request).await
    }

    pub async fn reopen_container_log(
        &self,
        request: ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, crate::CallError> {
        self.unary("ReopenContainerLog", "/runtime.v1.RuntimeService/ReopenContainerLog", request).await
    }

    pub async fn run_pod_sandbox(
        &self,
        request: RunPodSandboxRequest,
    ) -> Result<RunPodSandboxResponse, crate::CallError> {
        self.unary("RunPodSandbox", "/runtime.v1.RuntimeService/RunPodSandbox", request).await
    }

    pub async fn runtime_config(
        &self,
        request: RuntimeConfigRequest,
    ) -> Result<RuntimeConfigResponse, crate::CallError> {
        self.unary("RuntimeConfig", "/runtime.v1.RuntimeService/RuntimeConfig", request).await
    }

    pub async fn start_container(
        &self,
        request: StartContainerRequest,
    ) -> Result<StartContainerResponse, crate::CallError> {
        self.unary("StartContainer", "/runtime.v1.RuntimeService/StartContainer", request).await
    }

    pub async fn status(&self, request: StatusRequest) -> Result<StatusResponse, crate::CallError> {
        self.unary("Status", "/runtime.v1.RuntimeService/Status", request).await
    }

    pub async fn stop_pod_sandbox(
        &self,
        request: StopPodSandboxRequest,
    ) -> Result<StopPodSandboxResponse, crate::CallError> {
        self.unary("StopPodSandbox", "/runtime.v1.RuntimeService/StopPodSandbox", request).await
    }

    pub async fn stream_container_stats(
        &self,
        request: StreamContainerStatsRequest,
    ) -> Result<tonic::Streaming<StreamContainerStatsResponse>, crate::CallError> {
        self.streaming("StreamContainerStats", "/runtime.v1.RuntimeService/StreamContainerStats", request)
            .await
    }

    pub async fn stream_containers(
        &self,
        request: StreamContainersRequest,
    ) -> Result<tonic::Streaming<StreamContainersResponse>, crate::CallError> {
        self.streaming("StreamContainers", "/runtime.v1.RuntimeService/StreamContainers", request).await
    }

    pub async fn stream_pod_sandbox_metrics(
        &self,
        request: StreamPodSandboxMetricsRequest,
    ) -> Result<tonic::Streaming<StreamPodSandboxMetricsResponse>, crate::CallError> {
        self.streaming(
            "StreamPodSandboxMetrics",
            "/runtime.v1.RuntimeService/StreamPodSandboxMetrics",
            request,
        )
        .await
    }

    pub async fn stream_pod_sandbox_stats(
        &self,
        request: StreamPodSandboxStatsRequest,
    ) -> Result<tonic::Streaming<StreamPodSandboxStatsResponse>, crate::CallError> {
        self.streaming("StreamPodSandboxStats", "/runtime.v1.RuntimeService/StreamPodSandboxStats", request)
            .await
    }

    pub async fn stream_pod_sandboxes(
        &self,
        request: StreamPodSandboxesRequest,
    ) -> Result<tonic::Streaming<StreamPodSandboxesResponse>, crate::CallError> {
        self.streaming("StreamPodSandboxes", "/runtime.v1.RuntimeService/StreamPodSandboxes", request).await
    }

    pub async fn update_container_resources(
        &self,
        request: UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, crate::CallError> {
        self.unary("UpdateContainerResources", "/runtime.v1.RuntimeService/UpdateContainerResources", request)
            .await
    }

    pub async fn update_pod_sandbox_resources(
        &self,
        request: UpdatePodSandboxResourcesRequest,
    ) -> Result<UpdatePodSandboxResourcesResponse, crate::CallError> {
        self.unary(
            "UpdatePodSandboxResources",
            "/runtime.v1.RuntimeService/UpdatePodSandboxResources",
            request,
        )
        .await
    }

    pub async fn update_runtime_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, crate::CallError> {
        self.unary("UpdateRuntimeConfig", "/runtime.v1.RuntimeService/UpdateRuntimeConfig", request).await
    }

    pub async fn version(&self, request: VersionRequest) -> Result<VersionResponse, crate::CallError> {
        self.unary("Version", "/runtime.v1.RuntimeService/Version", request).await
    }
}

/// `runtime.v1.RuntimeService`. A call that a runtime leaves out answers Unimplemented, as the protocol has it.
#[tonic::async_trait]
pub trait RuntimeService: Send + Sync + 'static {
    async fn attach(&self, request: AttachRequest) -> Result<AttachResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("Attach"))
    }

    async fn checkpoint_container(
        &self,
        request: CheckpointContainerRequest,
    ) -> Result<CheckpointContainerResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("CheckpointContainer"))
    }

    async fn container_stats(
        &self,
        request: ContainerStatsRequest,
    ) -> Result<ContainerStatsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ContainerStats"))
    }

    async fn container_status(
        &self,
        request: ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ContainerStatus"))
    }

    async fn create_container(
        &self,
        request: CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("CreateContainer"))
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("Exec"))
    }

    async fn exec_sync(&self, request: ExecSyncRequest) -> Result<ExecSyncResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ExecSync"))
    }

    async fn get_container_events(
        &self,
        request: GetEventsRequest,
    ) -> Result<ResponseStream<ContainerEventResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("GetContainerEvents"))
    }

    async fn list_container_stats(
        &self,
        request: ListContainerStatsRequest,
    ) -> Result<ListContainerStatsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListContainerStats"))
    }

    async fn list_containers(
        &self,
        request: ListContainersRequest,
    ) -> Result<ListContainersResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListContainers"))
    }

    async fn list_metric_descriptors(
        &self,
        request: ListMetricDescriptorsRequest,
    ) -> Result<ListMetricDescriptorsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListMetricDescriptors"))
    }

    async fn list_pod_sandbox(
        &self,
        request: ListPodSandboxRequest,
    ) -> Result<ListPodSandboxResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListPodSandbox"))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        request: ListPodSandboxMetricsRequest,
    ) -> Result<ListPodSandboxMetricsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListPodSandboxMetrics"))
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: ListPodSandboxStatsRequest,
    ) -> Result<ListPodSandboxStatsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListPodSandboxStats"))
    }

    async fn pod_sandbox_stats(
        &self,
        request: PodSandboxStatsRequest,
    ) -> Result<PodSandboxStatsResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("PodSandboxStats"))
    }

    async fn pod_sandbox_status(
        &self,
        request: PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("PodSandboxStatus"))
    }

    async fn port_forward(&self, request: PortForwardRequest) -> Result<PortForwardResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("PortForward"))
    }

    async fn remove_container(
        &self,
        request: RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("RemoveContainer"))
    }

    async fn remove_pod_sandbox(
        &self,
        request: RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("RemovePodSandbox"))
    }

    async fn reopen_container_log(
        &self,
        request: ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ReopenContainerLog"))
    }

    async fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Result<RunPodSandboxResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("RunPodSandbox"))
    }

    async fn runtime_config(&self, request: RuntimeConfigRequest) -> Result<RuntimeConfigResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("RuntimeConfig"))
    }

    async fn start_container(
        &self,
        request: StartContainerRequest,
    ) -> Result<StartContainerResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StartContainer"))
    }

    async fn status(&self, request: StatusRequest) -> Result<StatusResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("Status"))
    }

    async fn stop_container(&self, request: StopContainerRequest) -> Result<StopContainerResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StopContainer"))
    }

    async fn stop_pod_sandbox(
        &self,
        request: StopPodSandboxRequest,
    ) -> Result<StopPodSandboxResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StopPodSandbox"))
    }

    async fn stream_container_stats(
        &self,
        request: StreamContainerStatsRequest,
    ) -> Result<ResponseStream<StreamContainerStatsResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamContainerStats"))
    }

    async fn stream_containers(
        &self,
        request: StreamContainersRequest,
    ) -> Result<ResponseStream<StreamContainersResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamContainers"))
    }

    async fn stream_pod_sandbox_metrics(
        &self,
        request: StreamPodSandboxMetricsRequest,
    ) -> Result<ResponseStream<StreamPodSandboxMetricsResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamPodSandboxMetrics"))
    }

    async fn stream_pod_sandbox_stats(
        &self,
        request: StreamPodSandboxStatsRequest,
    ) -> Result<ResponseStream<StreamPodSandboxStatsResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamPodSandboxStats"))
    }

    async fn stream_pod_sandboxes(
        &self,
        request: StreamPodSandboxesRequest,
    ) -> Result<ResponseStream<StreamPodSandboxesResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamPodSandboxes"))
    }

    async fn update_container_resources(
        &self,
        request: UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("UpdateContainerResources"))
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: UpdatePodSandboxResourcesRequest,
    ) -> Result<UpdatePodSandboxResourcesResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("UpdatePodSandboxResources"))
    }

    async fn update_runtime_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("UpdateRuntimeConfig"))
    }

    async fn version(&self, request: VersionRequest) -> Result<VersionResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("Version"))
    }
}

/// Serves a [`RuntimeService`] over gRPC.
pub struct RuntimeServiceServer<S>(std::sync::Arc<S>);

impl<S> RuntimeServiceServer<S> {
    pub fn new(inner: std::sync::Arc<S>) -> Self {
        Self(inner)
    }
}

impl<S> Clone for RuntimeServiceServer<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> tonic::server::NamedService for RuntimeServiceServer<S> {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl<S: RuntimeService> tower::Service<HttpRequest> for RuntimeServiceServer<S> {
    type Response = HttpResponse;
    type Error = std::convert::Infallible;
    type Future = HttpFuture;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let inner = self.0.clone();
        match request.uri().path() {
            "/runtime.v1.RuntimeService/Attach" => {
                serve_unary(request, async move |message| inner.attach(message).await)
            }
            "/runtime.v1.RuntimeService/CheckpointContainer" => {
                serve_unary(request, async move |message| inner.checkpoint_container(message).await)
            }
            "/runtime.v1.RuntimeService/ContainerStats" => {
                serve_unary(request, async move |message| inner.container_stats(message).await)
            }
            "/runtime.v1.RuntimeService/ContainerStatus" => {
                serve_unary(request, async move |message| inner.container_status(message).await)
            }
            "/runtime.v1.RuntimeService/CreateContainer" => {
                serve_unary(request, async move |message| inner.create_container(message).await)
            }
            "/runtime.v1.RuntimeService/Exec" => {
                serve_unary(request, async move |message| inner.exec(message).await)
            }
            "/runtime.v1.RuntimeService/ExecSync" => {
                serve_unary(request, async move |message| inner.exec_sync(message).await)
            }
            "/runtime.v1.RuntimeService/GetContainerEvents" => {
                serve_stream(request, async move |message| inner.get_container_events(message).await)
            }
            "/runtime.v1.RuntimeService/ListContainerStats" => {
                serve_unary(request, async move |message| inner.list_container_stats(message).await)
            }
            "/runtime.v1.RuntimeService/ListContainers" => {
                serve_unary(request, async move |message| inner.list_containers(message).await)
            }
            "/runtime.v1.RuntimeService/ListMetricDescriptors" => {
                serve_unary(request, async move |message| inner.list_metric_descriptors(message).await)
            }
            "/runtime.v1.RuntimeService/ListPodSandbox" => {
                serve_unary(request, async move |message| inner.list_pod_sandbox(message).await)
            }
            "/runtime.v1.RuntimeService/ListPodSandboxMetrics" => {
                serve_unary(request, async move |message| inner.list_pod_sandbox_metrics(message).await)
            }
            "/runtime.v1.RuntimeService/ListPodSandboxStats" => {
                serve_unary(request, async move |message| inner.list_pod_sandbox_stats(message).await)
            }
            "/runtime.v1.RuntimeService/PodSandboxStats" => {
                serve_unary(request, async move |message| inner.pod_sandbox_stats(message).await)
            }
            "/runtime.v1.RuntimeService/PodSandboxStatus" => {
                serve_unary(request, async move |message| inner.pod_sandbox_status(message).await)
            }
            "/runtime.v1.RuntimeService/PortForward" => {
                serve_unary(request, async move |message| inner.port_forward(message).await)
            }
            "/runtime.v1.RuntimeService/RemoveContainer" => {
                serve_unary(request, async move |message| inner.remove_container(message).await)
            }
            "/runtime.v1.RuntimeService/RemovePodSandbox" => {
                serve_unary(request, async move |message| inner.remove_pod_sandbox(message).await)
            }
            "/runtime.v1.RuntimeService/ReopenContainerLog" => {
                serve_unary(request, async move |message| inner.reopen_container_log(message).await)
            }
            "/runtime.v1.RuntimeService/RunPodSandbox" => {
                serve_unary(request, async move |message| inner.run_pod_sandbox(message).await)
            }
            "/runtime.v1.RuntimeService/RuntimeConfig" => {
                serve_unary(request, async move |message| inner.runtime_config(message).await)
            }
            "/runtime.v1.RuntimeService/StartContainer" => {
                serve_unary(request, async move |message| inner.start_container(message).await)
            }
            "/runtime.v1.RuntimeService/Status" => {
                serve_unary(request, async move |message| inner.status(message).await)
            }
            "/runtime.v1.RuntimeService/StopContainer" => {
                serve_unary(request, async move |message| inner.stop_container(message).await)
            }
            "/runtime.v1.RuntimeService/StopPodSandbox" => {
                serve_unary(request, async move |message| inner.stop_pod_sandbox(message).await)
            }
            "/runtime.v1.RuntimeService/StreamContainerStats" => {
                serve_stream(request, async move |message| inner.stream_container_stats(message).await)
            }
            "/runtime.v1.RuntimeService/StreamContainers" => {
                serve_stream(request, async move |message| inner.stream_containers(message).await)
            }
            "/runtime.v1.RuntimeService/StreamPodSandboxMetrics" => {
                serve_stream(request, async move |message| inner.stream_pod_sandbox_metrics(message).await)
            }
            "/runtime.v1.RuntimeService/StreamPodSandboxStats" => {
                serve_stream(request, async move |message| inner.stream_pod_sandbox_stats(message).await)
            }
            "/runtime.v1.RuntimeService/StreamPodSandboxes" => {
                serve_stream(request, async move |message| inner.stream_pod_sandboxes(message).await)
            }
            "/runtime.v1.RuntimeService/UpdateContainerResources" => {
                serve_unary(request, async move |message| inner.update_container_resources(message).await)
            }
            "/runtime.v1.RuntimeService/UpdatePodSandboxResources" => {
                serve_unary(request, async move |message| inner.update_pod_sandbox_resources(message).await)
            }
            "/runtime.v1.RuntimeService/UpdateRuntimeConfig" => {
                serve_unary(request, async move |message| inner.update_runtime_config(message).await)
            }
            "/runtime.v1.RuntimeService/Version" => {
                serve_unary(request, async move |message| inner.version(message).await)
            }
            _ => unknown_method(),
        }
    }
}
