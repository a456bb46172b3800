//! The client of both CRI services over one Unix socket.
//!
//! Connects when first used and again after the runtime went away; every call has a deadline. The plain calls are
//! generated (`v1/*_service.rs`); here are those whose deadline depends on the request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::v1;
use crate::wire::MESSAGE_BYTES_MAX;

/// How long a call may take when nothing else is said: upstream's `runtimeRequestTimeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What an exec may take longer than its own timeout, so that the runtime answers first.
const EXEC_MARGIN: Duration = Duration::from_secs(10);

/// A call to the runtime that failed. Displays like upstream's gRPC errors: `rpc error: code = NotFound desc = …`.
#[derive(Debug, Clone, Error)]
#[error("rpc error: code = {code:?} desc = {message}")]
pub struct CallError {
    pub method: &'static str,
    pub code: Code,
    pub message: String,
}

impl CallError {
    fn new(method: &'static str, status: &Status) -> Self {
        Self { method, code: status.code(), message: status.message().to_owned() }
    }

    pub fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// The runtime does not serve this call.
    pub fn is_unimplemented(&self) -> bool {
        self.code == Code::Unimplemented
    }

    /// Nobody answered on the socket.
    pub fn is_unavailable(&self) -> bool {
        self.code == Code::Unavailable
    }
}

/// A connection to a CRI runtime; clones share it.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    timeout: Duration,
}

impl Client {
    /// A client of the runtime at this socket (a path, with or without `unix://`). Nothing is dialled before the first
    /// call, so it must be called within a tokio runtime but never fails.
    pub fn connect(endpoint: impl AsRef<str>) -> Self {
        let path = socket_path(endpoint.as_ref());
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .connect_timeout(CONNECT_TIMEOUT)
            .connect_with_connector_lazy(connector);
        Self { channel, timeout: REQUEST_TIMEOUT }
    }

    /// The same connection with another deadline for each call.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { channel: self.channel.clone(), timeout }
    }

    /// Stops a container: SIGTERM, then SIGKILL after `timeout` seconds. The call may take that much longer.
    pub async fn stop_container(
        &self,
        request: v1::StopContainerRequest,
    ) -> Result<v1::StopContainerResponse, CallError> {
        let grace = Duration::from_secs(request.timeout.max(0).unsigned_abs());
        let path = "/runtime.v1.RuntimeService/StopContainer";
        self.with_timeout(self.timeout + grace).unary("StopContainer", path, request).await
    }

    /// Runs a command to its end. A `timeout` of 0 means no limit, as in CRI.
    pub async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, CallError> {
        let timeout = match request.timeout {
            0 => Duration::MAX,
            seconds => Duration::from_secs(seconds.max(0).unsigned_abs()) + EXEC_MARGIN,
        };
        self.with_timeout(timeout).unary("ExecSync", "/runtime.v1.RuntimeService/ExecSync", request).await
    }

    /// Pulls an image, however long that takes.
    pub async fn pull_image(
        &self,
        request: v1::PullImageRequest,
    ) -> Result<v1::PullImageResponse, CallError> {
        self.with_timeout(Duration::MAX)
            .unary("PullImage", "/runtime.v1.ImageService/PullImage", request)
            .await
    }

    pub(crate) async fn unary<Req, Res>(
        &self,
        method: &'static str,
        path: &'static str,
        request: Req,
    ) -> Result<Res, CallError>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let call = async {
            let mut grpc = self.ready().await?;
            let codec: ProstCodec<Req, Res> = ProstCodec::default();
            grpc.unary(self.request(request), PathAndQuery::from_static(path), codec).await
        };
        let done = if self.timeout == Duration::MAX {
            call.await
        } else {
            tokio::time::timeout(self.timeout, call)
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded")))
        };
        done.map(tonic::Response::into_inner).map_err(|status| CallError::new(method, &status))
    }

    pub(crate) async fn streaming<Req, Res>(
        &self,
        method: &'static str,
        path: &'static str,
        request: Req,
    ) -> Result<tonic::Streaming<Res>, CallError>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let call = async {
            let mut grpc = self.ready().await?;
            let codec: ProstCodec<Req, Res> = ProstCodec::default();
            grpc.server_streaming(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await
        };
        call.await.map(tonic::Response::into_inner).map_err(|status| CallError::new(method, &status))
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        Ok(grpc)
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if self.timeout != Duration::MAX {
            request.set_timeout(self.timeout);
        }
        request
    }
}

/// The words of an error and of what lies beneath it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The path of a CRI endpoint: `unix:///run/x.sock`, `unix:/run/x.sock` or the path itself.
pub fn socket_path(endpoint: &str) -> PathBuf {
    let path = endpoint.strip_prefix("unix:").unwrap_or(endpoint);
    let path = path.strip_prefix("//").unwrap_or(path);
    Path::new(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_paths_with_or_without_a_scheme() {
        for endpoint in ["unix:///run/a.sock", "unix:/run/a.sock", "/run/a.sock"] {
            assert_eq!(socket_path(endpoint), Path::new("/run/a.sock"));
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_unavailable() {
        let dir = tempfile::tempdir().expect("a directory");
        let client = Client::connect(dir.path().join("none.sock").display().to_string());
        let error = client.version(v1::VersionRequest::default()).await.expect_err("nobody listens");
        assert!(error.is_unavailable(), "{error}");
    }
}
