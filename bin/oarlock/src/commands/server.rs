//! `oarlock server`: the control plane; and `oarlock kube-apiserver`, its API server alone.

use anyhow::Result;
use oarlock_base::Shutdown;

use super::lock::RoleLock;
use super::up::install_dns;
use crate::cli::ServerArguments;
use crate::control_plane::ControlPlane;
use crate::layout::Layout;
use crate::preflight::Preflight;
use crate::steps::Steps;

pub(crate) async fn run(arguments: ServerArguments, stop: Shutdown) -> Result<()> {
    serve(arguments, stop, true).await
}

pub(crate) async fn api_only(arguments: ServerArguments, stop: Shutdown) -> Result<()> {
    serve(arguments, stop, false).await
}

async fn serve(arguments: ServerArguments, stop: Shutdown, whole: bool) -> Result<()> {
    let steps = Steps::begin();
    let layout = Layout::new(&arguments.common.place.data_dir);
    let mut preflight = Preflight::default();
    if !arguments.server.api.socket.permit_port_sharing {
        preflight.port(
            "the API server",
            arguments.server.bind_address,
            arguments.server.https_port,
            "--https-port",
        );
    }
    preflight.writable(layout.data(), "--data-dir");
    preflight.ranges(&arguments.common);
    preflight.finish()?;
    let _lock = RoleLock::take(&layout, "server")?;
    let mut control_plane = ControlPlane::start(&layout, &arguments.common, &arguments.server, &stop).await?;
    steps.done(&format!("API server at {}", control_plane.url));
    let started = if whole {
        control_plane.start_loops(&arguments.common);
        install_dns(&control_plane, &arguments.common).await
    } else {
        Ok(())
    };
    if started.is_ok() {
        println!("\n  export KUBECONFIG={}\n", control_plane.kubeconfig.display());
        steps.ready();
    }
    let ended = match started {
        Ok(()) => tokio::select! {
            () = stop.wait() => Ok(()),
            failed = control_plane.failed() => failed,
        },
        failed => failed,
    };
    let stopped = control_plane.stop().await;
    ended.and(stopped)
}
