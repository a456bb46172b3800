//! HTTP/1.1 as both halves need it: bounded requests, whole answers, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use oarlock_base::{Shutdown, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// An entry is two short lines; more is not read.
pub(crate) const BODY_BYTES_MAX: usize = 8 * 1024;
/// Connections served at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// A client that does not finish its request's head by then is let go.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Answer = Response<Full<Bytes>>;

/// What a request asks for, read in full.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// One half of the guestbook.
pub(crate) trait Site: Send + Sync + 'static {
    fn answer(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

pub(crate) async fn run(address: SocketAddr, site: impl Site, stop: Shutdown) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    let tasks = Tasks::new("guestbook", &stop);
    let (spawner, site, room) = (tasks.spawner(), Arc::new(site), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    while let Some(permit) = stop.or(room.clone().acquire_owned()).await {
        let Some(accepted) = stop.or(listener.accept()).await else { break };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                eprintln!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (site, stop) = (site.clone(), stop.clone());
        spawner.spawn("connection", async move {
            connection(stream, site, stop).await;
            drop(permit);
        });
    }
    tasks.join().await?;
    Ok(())
}

async fn connection(stream: TcpStream, site: Arc<impl Site>, stop: Shutdown) {
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, std::convert::Infallible>(request_answer(request, &*site).await) }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .serve_connection(TokioIo::new(stream), service)
    );
    if stop.or(connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        // The client may have gone; there is nobody to tell.
        let _ = connection.await;
    }
}

async fn request_answer(request: Request<Incoming>, site: &impl Site) -> Answer {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return text(StatusCode::PAYLOAD_TOO_LARGE, "too long"),
    };
    site.answer(Asked { method: head.method, path: head.uri.path().to_string(), body }).await
}

pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

pub(crate) fn answer(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .body(Full::new(body.into()))
        .expect("the status and the type are valid")
}
