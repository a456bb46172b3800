//! Lifecycle hooks: exec, http, tcp, sleep.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use oarlock_cri::v1::ExecSyncRequest;
use thiserror::Error;

use crate::context::Context;
use crate::probes::{http_request, resolve_port};

/// Why a hook failed.
#[derive(Debug, Error)]
pub(super) enum HookError {
    #[error("command '{command}' exited with {code}: {output}")]
    Exit { command: String, code: i32, output: String },
    #[error("{0}")]
    Call(#[from] oarlock_cri::CallError),
    #[error("{0}")]
    Http(String),
    #[error("invalid handler: no action is set")]
    Empty,
}

/// How long an http hook may take to answer.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run_hook(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    id: &str,
    hook: &LifecycleHandler,
    pod_ip: Option<String>,
) -> Result<(), HookError> {
    if let Some(exec) = &hook.exec {
        let cmd = exec.command.clone().unwrap_or_default();
        let command = cmd.join(" ");
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: 0 };
        let done = ctx.cri.exec_sync(request).await?;
        if done.exit_code == 0 {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        return Err(HookError::Exit { command, code: done.exit_code, output });
    }
    if let Some(http) = &hook.http_get {
        return http_get(http, container, pod_ip).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0).unsigned_abs())).await;
        return Ok(());
    }
    // The API keeps tcpSocket for old manifests; upstream refuses to run it, and so it fails here, too.
    let _ = pod; // named in the caller's event
    Err(HookError::Empty)
}

/// Calls an http hook; any answer but an error is a success.
async fn http_get(
    http: &HTTPGetAction,
    container: &Container,
    pod_ip: Option<String>,
) -> Result<(), HookError> {
    let port = match &http.port {
        // An empty port means 80 in hooks.
        IntOrString::String(name) if name.is_empty() => Some(80),
        port => resolve_port(port, container),
    };
    let port = port.ok_or_else(|| HookError::Http("the port has no number".into()))?;
    let host = http.host.clone().filter(|host| !host.is_empty()).or(pod_ip);
    let host = host
        .ok_or_else(|| HookError::Http("failed to find networking container: pod has no address".into()))?;
    match tokio::time::timeout(HTTP_TIMEOUT, http_request(http, &host, port, "kube-lifecycle/1.36")).await {
        Ok(Ok(answer)) if answer.status < 400 => Ok(()),
        Ok(Ok(answer)) => Err(HookError::Http(format!("HTTP {} from the hook", answer.status))),
        Ok(Err(error)) => Err(HookError::Http(error)),
        Err(_) => Err(HookError::Http("the hook did not answer in time".into())),
    }
}
