// Written by `cargo xtask codegen` from the facts of CRI v1. Do not edit.

use super::*;
use crate::wire::*;

impl crate::Client {
    pub async fn image_fs_info(
        &self,
        request: ImageFsInfoRequest,
    ) -> Result<ImageFsInfoResponse, crate::CallError> {
        self.unary("ImageFsInfo", "/runtime.v1.ImageService/ImageFsInfo", request).await
    }

    pub async fn image_status(
        &self,
        request: ImageStatusRequest,
    ) -> Result<ImageStatusResponse, crate::CallError> {
        self.unary("ImageStatus", "/runtime.v1.ImageService/ImageStatus", request).await
    }

    pub async fn list_images(
        &self,
        request: ListImagesRequest,
    ) -> Result<ListImagesResponse, crate::CallError> {
        self.unary("ListImages", "/runtime.v1.ImageService/ListImages", request).await
    }

    pub async fn remove_image(
        &self,
        request: RemoveImageRequest,
    ) -> Result<RemoveImageResponse, crate::CallError> {
        self.unary("RemoveImage", "/runtime.v1.ImageService/RemoveImage", request).await
    }

    pub async fn stream_images(
        &self,
        request: StreamImagesRequest,
    ) -> Result<tonic::Streaming<StreamImagesResponse>, crate::CallError> {
        self.streaming("StreamImages", "/runtime.v1.ImageService/StreamImages", request).await
    }
}

/// `runtime.v1.ImageService`. A call that a runtime leaves out answers Unimplemented, as the protocol has it.
#[tonic::async_trait]
pub trait ImageService: Send + Sync + 'static {
    async fn image_fs_info(&self, request: ImageFsInfoRequest) -> Result<ImageFsInfoResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ImageFsInfo"))
    }

    async fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ImageStatus"))
    }

    async fn list_images(&self, request: ListImagesRequest) -> Result<ListImagesResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("ListImages"))
    }

    async fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("PullImage"))
    }

    async fn remove_image(&self, request: RemoveImageRequest) -> Result<RemoveImageResponse, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("RemoveImage"))
    }

    async fn stream_images(
        &self,
        request: StreamImagesRequest,
    ) -> Result<ResponseStream<StreamImagesResponse>, Status> {
        let _ = request; // nothing to look at in a call that is not served
        Err(unserved("StreamImages"))
    }
}

/// Serves a [`ImageService`] over gRPC.
pub struct ImageServiceServer<S>(std::sync::Arc<S>);

impl<S> ImageServiceServer<S> {
    pub fn new(inner: std::sync::Arc<S>) -> Self {
        Self(inner)
    }
}

impl<S> Clone for ImageServiceServer<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> tonic::server::NamedService for ImageServiceServer<S> {
    const NAME: &'static str = "runtime.v1.ImageService";
}

impl<S: ImageService> tower::Service<HttpRequest> for ImageServiceServer<S> {
    type Response = HttpResponse;
    type Error = std::convert::Infallible;
    type Future = HttpFuture;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let inner = self.0.clone();
        match request.uri().path() {
            "/runtime.v1.ImageService/ImageFsInfo" => {
                serve_unary(request, async move |message| inner.image_fs_info(message).await)
            }
            "/runtime.v1.ImageService/ImageStatus" => {
                serve_unary(request, async move |message| inner.image_status(message).await)
            }
            "/runtime.v1.ImageService/ListImages" => {
                serve_unary(request, async move |message| inner.list_images(message).await)
            }
            "/runtime.v1.ImageService/PullImage" => {
                serve_unary(request, async move |message| inner.pull_image(message).await)
            }
            "/runtime.v1.ImageService/RemoveImage" => {
                serve_unary(request, async move |message| inner.remove_image(message).await)
            }
            "/runtime.v1.ImageService/StreamImages" => {
                serve_stream(request, async move |message| inner.stream_images(message).await)
            }
            _ => unknown_method(),
        }
    }
}
