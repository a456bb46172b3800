//! Further processes in containers, attaching, and connections to pods' ports.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use oarlock_cri::v1::ExecSyncResponse;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::record::{Container, Phase};
use super::{Runtime, RuntimeError};
use crate::disk;
use crate::oci::spec;
use crate::sandbox::client::{Connection, ShimClient, ShimError};
use crate::shim::protocol::{ExecSpec, Request, Response};

/// The kubelet cuts probes' output at 10 KiB; more than this of one command is no longer an answer but a flood.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// A process that runs; its streams belong to the caller.
pub(crate) struct Running {
    connection: Connection,
    shim: ShimClient,
    exec: String,
    /// The terminal's master, for a process with a terminal.
    pub terminal: Option<OwnedFd>,
}

/// The streams of an attached client, from the container's side.
pub(crate) struct Attached {
    /// The container's stdin, or its terminal.
    pub input: Option<OwnedFd>,
    pub tty: bool,
    pub stdin_once: bool,
}

impl Running {
    /// Waits for the end and gives the exit code.
    pub(crate) async fn wait(&mut self) -> Result<i32, RuntimeError> {
        let answer = self.connection.answer().await;
        match answer.map_err(RuntimeError::shim("wait for the process"))? {
            (Response::Exited { code }, _) => Ok(code),
            (other, _) => Err(RuntimeError::State(format!("the shim answered {other:?}"))),
        }
    }

    /// Kills the process.
    pub(crate) async fn kill(&self) {
        // It may have ended meanwhile, which is as good.
        let _ = self.shim.order(&Request::KillExec { exec: self.exec.clone() }).await;
    }
}

impl Runtime {
    /// The container, if it runs.
    pub(crate) fn running(&self, id: &str) -> Result<Arc<Container>, RuntimeError> {
        let container = self.container(id)?;
        match container.status().phase {
            Phase::Running => Ok(container),
            phase => {
                let (id, state) = (&container.record.id, phase.state().as_str_name());
                Err(RuntimeError::State(format!("container {id:?} is in {state} state")))
            }
        }
    }

    /// Starts a process in a container. `descriptors`: stdin if any, stdout, stderr; none with a terminal.
    pub(crate) async fn exec(
        &self,
        id: &str,
        command: &[String],
        (tty, stdin): (bool, bool),
        descriptors: &[RawFd],
    ) -> Result<Running, RuntimeError> {
        let container = self.running(id)?;
        let pod = self.pod(&container.record.pod)?;
        let exec = disk::new_id();
        let failed = |source| RuntimeError::Io { what: "prepare the process".to_string(), source };
        let text = fs::read(container.directory.join("config.json")).map_err(failed)?;
        let whole: serde_json::Value = serde_json::from_slice(&text).map_err(|e| failed(e.into()))?;
        let process = self.bundle(&pod, &container.record.id).join(format!("{}.json", &exec[..16]));
        disk::write_json(&process, &spec::exec_process(&whole, command, tty), false).map_err(failed)?;
        let spec =
            ExecSpec { container: container.record.id.clone(), exec: exec.clone(), process, tty, stdin };
        let not_started = |source: ShimError| match source {
            ShimError::Refused(_) => RuntimeError::Shim {
                what:
                    "failed to exec in container: OCI runtime exec failed: unable to start container process"
                        .to_string(),
                source,
            },
            source => RuntimeError::Shim { what: "failed to exec in container".to_string(), source },
        };
        let mut connection = pod.shim.open(&Request::Exec(spec), descriptors).await.map_err(not_started)?;
        let (_, mut received) = connection.answer().await.map_err(not_started)?;
        Ok(Running { connection, shim: pod.shim.clone(), exec, terminal: received.pop() })
    }

    /// Runs a command and gives its output; 0 seconds is no limit.
    pub(super) async fn exec_sync(
        self: Arc<Self>,
        id: String,
        command: Vec<String>,
        timeout_s: i64,
    ) -> Result<ExecSyncResponse, RuntimeError> {
        if command.is_empty() {
            return Err(RuntimeError::Invalid("exec cmd cannot be empty".to_string()));
        }
        let (stdout, stdout_sink) = pipe_pair()?;
        let (stderr, stderr_sink) = pipe_pair()?;
        let sinks = [stdout_sink.as_raw_fd(), stderr_sink.as_raw_fd()];
        let mut running = self.exec(&id, &command, (false, false), &sinks).await?;
        drop((stdout_sink, stderr_sink));
        let work = async {
            let (code, stdout, stderr) = tokio::join!(running.wait(), collect(stdout), collect(stderr));
            Ok(ExecSyncResponse { stdout, stderr, exit_code: code? })
        };
        if timeout_s <= 0 {
            return work.await;
        }
        let limit = Duration::from_secs(u64::try_from(timeout_s).unwrap_or(1));
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => {
                running.kill().await;
                let command = command.join(" ");
                Err(RuntimeError::Deadline(format!(
                    "failed to exec in container: timeout {timeout_s}s exceeded: context deadline exceeded: {command}"
                )))
            }
        }
    }

    /// Attaches to a container's streams. `sinks`: where stdout and stderr go, as far as they are wanted.
    pub(crate) async fn attach(
        &self,
        id: &str,
        (stdin, stdout, stderr): (bool, bool, bool),
        sinks: &[RawFd],
    ) -> Result<Attached, RuntimeError> {
        let container = self.running(id)?;
        let pod = self.pod(&container.record.pod)?;
        let request = Request::Attach { container: container.record.id.clone(), stdin, stdout, stderr };
        let failed = || RuntimeError::shim("failed to attach to container");
        let mut connection = pod.shim.open(&request, sinks).await.map_err(failed())?;
        let (_, mut received) = connection.answer().await.map_err(failed())?;
        let config = container.config();
        Ok(Attached { input: received.pop(), tty: config.tty, stdin_once: config.stdin_once })
    }

    /// Closes a container's stdin for good.
    pub(crate) async fn close_stdin(&self, id: &str) -> Result<(), RuntimeError> {
        let container = self.running(id)?;
        let pod = self.pod(&container.record.pod)?;
        let request = Request::CloseStdin { container: container.record.id.clone() };
        pod.shim.order(&request).await.map_err(RuntimeError::shim("close the container's stdin"))
    }

    /// Connects to a port on the pod's loopback.
    pub(crate) async fn dial(&self, id: &str, port: u16) -> Result<std::net::TcpStream, RuntimeError> {
        let pod = self.pod(id)?;
        let answer = pod.shim.call(&Request::Dial { port }).await;
        let (_, mut received) = answer.map_err(RuntimeError::shim("failed to forward the port"))?;
        let connection = received.pop();
        let none = || RuntimeError::State("the shim sent no connection".to_string());
        connection.map(std::net::TcpStream::from).ok_or_else(none)
    }

    /// Returns when the container does not run any more.
    pub(crate) async fn wait_for_end(&self, id: &str) {
        if let Ok(container) = self.container(id) {
            // The sender goes with the container.
            let _ = container.status.subscribe().wait_for(|status| status.phase == Phase::Exited).await;
        }
    }

    pub(super) async fn reopen_log(&self, id: &str) -> Result<(), RuntimeError> {
        let container = self.running(id)?;
        let pod = self.pod(&container.record.pod)?;
        let request = Request::ReopenLog { container: container.record.id.clone() };
        pod.shim.order(&request).await.map_err(RuntimeError::shim("reopen the container's log"))
    }
}

/// A pipe whose reading end belongs to the runtime and whose writing end goes to a process.
pub(crate) fn pipe_pair() -> Result<(pipe::Receiver, OwnedFd), RuntimeError> {
    let failed = RuntimeError::io("make a pipe");
    let made = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(std::io::Error::from).and_then(
        |(read, write)| {
            crate::shim::set_nonblocking(&read)?;
            Ok((pipe::Receiver::from_owned_fd(read)?, write))
        },
    );
    made.map_err(failed)
}

/// A pipe whose writing end belongs to the runtime and whose reading end goes to a process.
pub(crate) fn stdin_pair() -> Result<(pipe::Sender, OwnedFd), RuntimeError> {
    let made = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(std::io::Error::from)
        .and_then(|(read, write)| Ok((pipe::Sender::from_owned_fd(write)?, read)));
    made.map_err(RuntimeError::io("make a pipe"))
}

async fn collect(source: pipe::Receiver) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A broken pipe ends the output like its end does.
    let _ = source.take(OUTPUT_BYTES_MAX as u64).read_to_end(&mut bytes).await;
    bytes
}
