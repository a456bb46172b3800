//! One look at a container: exec, http, tcp or gRPC.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use oarlock_cri::v1::ExecSyncRequest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::context::Context;

use super::grpc::grpc_health;
use super::http::{http_request, url_of};

/// What a look found. `Failure` carries upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure(String),
    /// The node could not look; this says nothing of the container.
    Unknown,
}

pub(super) async fn check(
    ctx: &Context,
    probe: &Probe,
    container: &Container,
    id: &str,
    pod_ip: Option<&str>,
    limit: Duration,
) -> Outcome {
    if let Some(exec) = &probe.exec {
        return check_exec(&ctx.cri, exec, id, limit).await;
    }
    if let Some(http) = &probe.http_get {
        return check_http(http, container, pod_ip, limit).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let host = tcp.host.clone().filter(|host| !host.is_empty()).or_else(|| pod_ip.map(str::to_owned));
        let (Some(host), Some(port)) = (host, resolve_port(&tcp.port, container)) else {
            return Outcome::Unknown;
        };
        return match timeout(limit, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => Outcome::Success,
            Ok(Err(error)) => {
                Outcome::Failure(format!("dial tcp {host}:{port}: connect: {}", go_error(&error)))
            }
            Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let (Some(host), Ok(port)) = (pod_ip, u16::try_from(grpc.port)) else { return Outcome::Unknown };
        return grpc_health(&ctx.spawner, host, port, grpc.service.as_deref().unwrap_or_default(), limit)
            .await;
    }
    Outcome::Success
}

/// The number of a port: itself, or that of the container's port of this name.
pub(crate) fn resolve_port(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
            named.and_then(|number| u16::try_from(number).ok()).or_else(|| name.parse().ok())
        }
    }
}

/// The operating system's words, as Go prints them.
pub(super) fn go_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::HostUnreachable => "no route to host".into(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        std::io::ErrorKind::TimedOut => "connection timed out".into(),
        _ => error.to_string(),
    }
}

async fn check_exec(cri: &oarlock_cri::Client, exec: &ExecAction, id: &str, limit: Duration) -> Outcome {
    let cmd = exec.command.clone().unwrap_or_default();
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(1);
    let request = ExecSyncRequest { container_id: id.to_owned(), cmd: cmd.clone(), timeout: seconds };
    match cri.exec_sync(request).await {
        Ok(done) if done.exit_code == 0 => Outcome::Success,
        Ok(done) => {
            let output = [done.stdout, done.stderr].concat();
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.code == oarlock_cri::Code::DeadlineExceeded => {
            Outcome::Failure(format!("command timed out: {:?} timed out after {seconds}s", cmd.join(" ")))
        }
        Err(_) => Outcome::Unknown,
    }
}

async fn check_http(
    http: &HTTPGetAction,
    container: &Container,
    pod_ip: Option<&str>,
    limit: Duration,
) -> Outcome {
    let host = http.host.clone().filter(|host| !host.is_empty()).or_else(|| pod_ip.map(str::to_owned));
    let (Some(host), Some(port)) = (host, resolve_port(&http.port, container)) else {
        return Outcome::Unknown;
    };
    let url = url_of(http, &host, port);
    match timeout(limit, http_request(http, &host, port, "kube-probe/1.36")).await {
        Ok(Ok(answer)) if (200..400).contains(&answer.status) => Outcome::Success,
        Ok(Ok(answer)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {}", answer.status)),
        Ok(Err(error)) => Outcome::Failure(format!("Get {url:?}: {error}")),
        Err(_) => Outcome::Failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}
