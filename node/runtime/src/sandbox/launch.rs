//! Starts a pod's shim and waits until its namespaces are there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::disk;
use crate::shim::READY;
use crate::shim::protocol::ShimConfig;

/// A shim that says nothing for so long hangs: it does its work in a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a shim did not start.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    #[error("prepare the shim's directory {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error("execute the shim {}", .0.display())]
    Execute(PathBuf, #[source] io::Error),
    #[error("the shim could not start: {0}")]
    Refused(String),
}

/// Starts the shim in `directory`. The child is given back to be reaped; it goes on when the agent ends.
pub(crate) async fn launch(
    executable: &Path,
    directory: &Path,
    config: &ShimConfig,
) -> Result<Child, LaunchError> {
    let failed = |source| LaunchError::Directory(directory.to_owned(), source);
    disk::write_json(&directory.join("config.json"), config, false).map_err(failed)?;
    let errors = std::fs::File::create(directory.join("stderr")).map_err(failed)?;
    let mut child = Command::new(executable)
        .arg("shim")
        .arg(directory)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|source| LaunchError::Execute(executable.to_owned(), source))?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
    if read.is_ok_and(|read| read.is_ok()) && line.trim_end() == READY {
        return Ok(child);
    }
    // It says why and ends by itself; a shim that hangs is not left behind.
    let _ = child.kill().await;
    let errors = std::fs::read_to_string(directory.join("stderr")).unwrap_or_default();
    let said = format!("{} {}", line.trim(), errors.trim());
    Err(LaunchError::Refused(said.trim().to_string()))
}
