//! `/health`, `/ready` and `/metrics`: plain HTTP/1.1 with one answer per connection, which is all that probes and a
//! scraper need.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oarlock_base::{Shutdown, TaskSpawner};
use oarlock_telemetry::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::DnsError;
use crate::view::ClusterView;

const CONNECTIONS_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
/// A probe's request line and headers.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

pub(crate) async fn run(
    address: SocketAddr,
    view: ClusterView,
    spawner: TaskSpawner,
    stop: Shutdown,
) -> Result<(), DnsError> {
    let failed = |source| DnsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting = async {
        loop {
            let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            let view = view.clone();
            spawner.spawn("health", async move {
                match tokio::time::timeout(PATIENCE, respond(stream, &view)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => tracing::debug!(error = %e, "health connection ended"),
                    Err(_) => tracing::debug!("health client too slow"),
                }
                drop(permit);
            });
        }
    };
    let ended: Option<io::Result<()>> = stop.or(accepting).await;
    ended.unwrap_or(Ok(())).map_err(failed)
}

async fn respond(mut stream: TcpStream, view: &ClusterView) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let line =
        String::from_utf8_lossy(request.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    let (status, body) = match line.split(' ').nth(1).unwrap_or_default() {
        "/health" => ("200 OK", b"OK".to_vec()),
        "/ready" if view.is_synced() => ("200 OK", b"OK".to_vec()),
        "/ready" => ("503 Service Unavailable", b"kubernetes".to_vec()),
        "/metrics" => ("200 OK", Metrics::global().encode()),
        _ => ("404 Not Found", b"404 page not found\n".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await
}
