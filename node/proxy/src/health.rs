//! `/healthz`, `/livez` and `/metrics`, on the port where upstream's kube-proxy has them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use oarlock_base::{Shutdown, TaskSpawner};
use oarlock_telemetry::{Health, Metrics};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::ProxyError;

/// Probes and one scraper: more connections than these wait.
const CONNECTIONS: usize = 32;

/// Serves until told to stop.
pub(crate) async fn serve(
    address: SocketAddr,
    health: Health,
    spawner: TaskSpawner,
    stop: Shutdown,
) -> Result<(), ProxyError> {
    let listen = |source| ProxyError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(accepted) = stop.or(accept(&listener, &permits)).await {
        let (stream, permit) = accepted.map_err(listen)?;
        let (health, stop) = (health.clone(), stop.clone());
        spawner.spawn("health", async move {
            let service = service_fn(move |request| {
                let answer = answer(&health, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Some(Err(e)) = stop.or(connection).await {
                tracing::debug!(error = %e, "health connection ended");
            }
            drop(permit);
        });
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

fn answer(health: &Health, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let respond = |status, body: Vec<u8>| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response
    };
    match request.uri().path() {
        "/metrics" => respond(StatusCode::OK, Metrics::global().encode()),
        "/healthz" | "/livez" => {
            let report = health.report("healthz", &[], false);
            let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            respond(status, report.body.into_bytes())
        }
        _ => respond(StatusCode::NOT_FOUND, b"404 page not found\n".to_vec()),
    }
}
