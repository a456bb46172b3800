//! `grpc.health.v1.Health/Check`, without a generated crate: a message of one string, an answer of one number.

use std::time::Duration;

use oarlock_base::TaskSpawner;
use tokio::time::timeout;

use super::check::Outcome;

/// SERVING in the health protocol.
const SERVING: u64 = 1;

pub(super) async fn grpc_health(
    spawner: &TaskSpawner,
    host: &str,
    port: u16,
    service: &str,
    limit: Duration,
) -> Outcome {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match timeout(limit, ask(spawner, &address, service)).await {
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(status)) => {
            let name = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                _ => "SERVICE_UNKNOWN",
            };
            Outcome::Failure(format!("service unhealthy (responded with {name:?})"))
        }
        Ok(Err(error)) => Outcome::Failure(error),
        Err(_) => {
            Outcome::Failure(format!("timeout: failed to connect service {address:?} within {limit:?}"))
        }
    }
}

async fn ask(spawner: &TaskSpawner, address: &str, service: &str) -> Result<u64, String> {
    use http_body_util::{BodyExt as _, Full};
    let failed = |error: &dyn std::fmt::Display| format!("error: {error}");
    let tcp = tokio::net::TcpStream::connect(address)
        .await
        .map_err(|error| format!("error: dial tcp {address}: connect: {}", super::check::go_error(&error)))?;
    let io = hyper_util::rt::TokioIo::new(tcp);
    let executor = Owned(spawner.clone());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.map_err(|error| failed(&error))?;
    let request = http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(bytes::Bytes::from(frame(service))))
        .map_err(|error| failed(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let said = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
        let code = said.and_then(|code| code.to_str().ok()).unwrap_or("0");
        if code != "0" {
            return Err(format!(
                "error: this server does not implement the grpc health protocol or failed with code {code}"
            ));
        }
        Ok(status_of(&body.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        closed = connection => match closed {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(&error)),
        },
    }
}

/// One message in gRPC's framing: `HealthCheckRequest { service = 1 }`.
fn frame(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    frame.extend(message);
    frame
}

/// The status in a framed `HealthCheckResponse { status = 1 }`; an absent one is UNKNOWN.
fn status_of(frame: &[u8]) -> u64 {
    match frame.get(5..) {
        Some([0x08, status, ..]) => u64::from(*status),
        _ => 0,
    }
}

/// Runs what an HTTP/2 connection hands over under the kubelet's own tasks.
#[derive(Clone)]
struct Owned(TaskSpawner);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn("grpc probe", work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(frame(""), [0, 0, 0, 0, 0]);
        assert_eq!(frame("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!((status_of(&[0, 0, 0, 0, 2, 8, 1]), status_of(&[0, 0, 0, 0, 0])), (1, 0));
    }
}
