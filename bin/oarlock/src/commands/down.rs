//! `oarlock down`: ends what runs, and takes away what is left over on this machine. The cluster's state stays.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::lock::{ROLES, holder};
use crate::layout::Layout;
use crate::node::{Runtime, clean_network, remove_run, take_pods_down};
use crate::settings::Place;

/// How long an orderly stop may take: pods are given their time.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) async fn run(place: &Place) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("not root: containers need root; run it with sudo");
    }
    let layout = Layout::new(&place.data_dir);
    for role in ROLES {
        if let Some(pid) = holder(&layout, role) {
            println!("stopping {role} (process {pid})");
            end(&layout, role, pid).await?;
        }
    }
    if layout.runtime().exists() && layout.runtime_run().exists() {
        let runtime = Runtime::built_in(&layout, &[]).await?;
        let taken = take_pods_down(&layout, &runtime.endpoint).await;
        runtime.stop().await?;
        taken?;
        remove_run(&layout)?;
    } else {
        clean_network(&layout).await?;
    }
    println!("down; the state is kept in {}", layout.data().display());
    Ok(())
}

async fn end(layout: &Layout, role: &str, pid: Pid) -> Result<()> {
    kill(pid, Signal::SIGTERM).with_context(|| format!("end process {pid}"))?;
    let gone = async {
        // No child of ours, so no signal of its end; and its parent may leave it a zombie, whose locks are free already.
        while holder(layout, role) == Some(pid) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .with_context(|| format!("process {pid} has not ended after {} s", PATIENCE.as_secs()))
}
