//! Serves a runtime on a Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oarlock_base::{Shutdown, TaskError, TaskSpawner, Tasks};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tonic::codegen::http::Request;
use tracing::debug;

use crate::v1::{ImageService, ImageServiceServer, RuntimeService, RuntimeServiceServer};
use crate::wire::{HttpFuture, HttpResponse};

/// Why a runtime could not be served.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("listen on {}", path.display())]
    Listen {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("accept a connection")]
    Accept(#[source] io::Error),
    #[error("serve CRI")]
    Tasks(#[source] TaskError),
}

/// Binds the socket, in place of one that a dead process left. When this returns, clients can connect.
pub fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    let failed = |source| ServeError::Listen { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}

/// Serves both services on `listener` until the shutdown; calls under way are then cut off with their connections. A
/// client that goes away drops the future of its call: work that must finish belongs in a task.
pub async fn serve<R, I>(
    listener: UnixListener,
    runtime: Arc<R>,
    images: Arc<I>,
    shutdown: Shutdown,
) -> Result<(), ServeError>
where
    R: RuntimeService,
    I: ImageService,
{
    let tasks = Tasks::new("cri", &shutdown);
    let spawner = tasks.spawner();
    let router =
        Router { runtime: RuntimeServiceServer::new(runtime), images: ImageServiceServer::new(images) };
    while let Some(accepted) = shutdown.or(listener.accept()).await {
        let stream = accepted.map_err(ServeError::Accept)?.0;
        spawner.spawn("connection", connection(stream, router.clone(), spawner.clone()));
    }
    tasks.join().await.map_err(ServeError::Tasks)
}

async fn connection<R: RuntimeService, I: ImageService>(
    stream: UnixStream,
    router: Router<R, I>,
    spawner: TaskSpawner,
) {
    let stop = spawner.shutdown().clone();
    let builder = hyper::server::conn::http2::Builder::new(Owned(spawner));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Some(Err(error)) = stop.or(connection).await {
        debug!(%error, "a CRI connection ended badly");
    }
}

/// Tells the two services apart by path.
struct Router<R, I> {
    runtime: RuntimeServiceServer<R>,
    images: ImageServiceServer<I>,
}

impl<R, I> Clone for Router<R, I> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), images: self.images.clone() }
    }
}

impl<R: RuntimeService, I: ImageService> tower::Service<Request<Incoming>> for Router<R, I> {
    type Response = HttpResponse;
    type Error = std::convert::Infallible;
    type Future = HttpFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(tonic::body::Body::new);
        if request.uri().path().starts_with("/runtime.v1.ImageService/") {
            self.images.call(request)
        } else {
            self.runtime.call(request)
        }
    }
}

/// Runs hyper's tasks (one per call) under the server's owner.
#[derive(Clone)]
struct Owned(TaskSpawner);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future + Send + 'static,
{
    fn execute(&self, work: F) {
        let stop = self.0.shutdown().clone();
        self.0.spawn("call", async move {
            stop.or(work).await;
        });
    }
}
