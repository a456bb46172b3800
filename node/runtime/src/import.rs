//! Bringing an archive into a running runtime, which CRI has no call for: an HTTP/2 request beside CRI on the same
//! socket, whose body is the archive and whose answer is the list of names.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::body::Body;

use crate::images::ImageStore;

/// The path of the call.
pub(crate) const PATH: &str = "/oarlock.images.v1.Import/Archive";
/// Chunks between the network and the unpacking thread: enough to keep both busy.
const CHUNKS: usize = 16;
const CHUNK_BYTES: usize = 64 * 1024;

/// Why an archive was not imported.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("connect to the runtime at {0}")]
    Connect(String, #[source] io::Error),
    #[error("send the archive to the runtime")]
    Send(#[source] hyper::Error),
    #[error("{0}")]
    Refused(String),
}

/// Sends an archive (`docker save` or an OCI layout, plain or gzipped) to the runtime that serves on `socket`; gives
/// the names, or for images without a name the ids, of what it held.
pub async fn import_archive(
    socket: &Path,
    archive: impl Read + Send + 'static,
) -> Result<Vec<String>, ImportError> {
    let failed = |source| ImportError::Connect(socket.display().to_string(), source);
    let stream = UnixStream::connect(socket).await.map_err(failed)?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(ImportError::Send)?;
    let (chunks, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let reader = tokio::task::spawn_blocking(move || pump(archive, &chunks));
    let body = futures::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk.map(hyper::body::Frame::data), receiver))
    });
    let request = Request::post(format!("http://runtime{PATH}"))
        .body(StreamBody::new(Box::pin(body)))
        .expect("the parts are constant");
    let call = async {
        let response = sender.send_request(request).await.map_err(ImportError::Send)?;
        let status = response.status();
        let text = response.into_body().collect().await.map_err(ImportError::Send)?.to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        if status.is_success() {
            Ok(text.lines().map(str::to_string).collect())
        } else {
            Err(ImportError::Refused(text))
        }
    };
    let outcome = tokio::select! {
        outcome = call => outcome,
        Err(error) = connection => Err(ImportError::Send(error)),
    };
    // It has ended with the body, or its channel is closed.
    let _ = reader.await;
    outcome
}

fn pump(mut archive: impl Read, chunks: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let item = match archive.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(Bytes::from(chunk))
            }
            Err(error) => Err(error),
        };
        let failed = item.is_err();
        if chunks.blocking_send(item).is_err() || failed {
            return;
        }
    }
}

/// The serving side.
#[derive(Clone)]
pub(crate) struct ImportService {
    images: Arc<ImageStore>,
}

impl ImportService {
    pub(crate) fn new(images: Arc<ImageStore>) -> Self {
        Self { images }
    }
}

impl tower::Service<Request<Body>> for ImportService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let images = self.images.clone();
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(answer(StatusCode::NOT_FOUND, "no such call".to_string()));
            }
            Ok(match receive(images, request.into_body()).await {
                Ok(names) => answer(StatusCode::OK, names.join("\n")),
                Err(message) => answer(StatusCode::UNPROCESSABLE_ENTITY, message),
            })
        })
    }
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response
}

async fn receive(images: Arc<ImageStore>, mut body: Body) -> Result<Vec<String>, String> {
    let (chunks, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let unpacking =
        tokio::task::spawn_blocking(move || images.import(Chunks { receiver, current: Bytes::new() }));
    while let Some(frame) = body.frame().await {
        let item = match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(_)) => continue,
            // A broken transfer must not pass for the end of the archive.
            Err(error) => Err(io::Error::other(error)),
        };
        if chunks.send(item).await.is_err() {
            break;
        }
    }
    drop(chunks);
    let imported = unpacking.await.map_err(|error| format!("importing panicked: {error}"))?;
    let images = imported.map_err(|error| error.chain())?;
    let names = |image: crate::images::Image| {
        if image.tags.is_empty() { vec![image.id] } else { image.tags.into_iter().collect() }
    };
    Ok(images.into_iter().flat_map(names).collect())
}

/// The body as the unpacking thread reads it.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
