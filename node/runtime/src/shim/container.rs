//! Builds containers and processes in them. Runs in a short-lived child of the shim: what libcontainer allocates and
//! changes about its own process (dumpability, directory, mounts) is gone with the child.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use super::protocol::{ExecSpec, Rootfs, StartSpec};
use super::wire;
use super::workload::Workload;

/// What the child tells the shim; a terminal's master comes beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Built {
    Running { pid: i32 },
    Failed { message: String },
}

/// A report is no longer: reasons are cut to a quarter of it.
pub(crate) const REPORT_BYTES_MAX: usize = 8 * 1024;

/// The standard streams of a process to start.
pub(crate) struct Stdio {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Starts a container. Returns when its program runs, or with the reason why it cannot.
pub(crate) fn start(spec: &StartSpec, stdio: Option<Stdio>) -> (Built, Option<OwnedFd>) {
    finish(try_start(spec, stdio))
}

/// Starts a further process in a running container.
pub(crate) fn exec(of: &StartSpec, spec: &ExecSpec, stdio: Option<Stdio>) -> (Built, Option<OwnedFd>) {
    finish(try_exec(of, spec, stdio))
}

type Started = (i32, Option<OwnedFd>);

fn finish(result: Result<Started, String>) -> (Built, Option<OwnedFd>) {
    match result {
        Ok((pid, terminal)) => (Built::Running { pid }, terminal),
        Err(mut message) => {
            // Quoting may double it.
            let end = (0..=REPORT_BYTES_MAX / 4).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
            (Built::Failed { message }, None)
        }
    }
}

fn try_start(spec: &StartSpec, stdio: Option<Stdio>) -> Result<Started, String> {
    // The overlay is mounted in a namespace of this child; libcontainer's copies it. So it ends with the container,
    // and nothing is left to unmount on the host.
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("unshare the mount namespace: {e}"))?;
    mount_rootfs(&spec.rootfs, &spec.bundle.join("rootfs"))?;

    let console = spec.tty.then(|| Console::listen(&spec.bundle)).transpose()?;
    let (workload, status) = Workload::new(spec.seccomp)?;
    let mut builder = ContainerBuilder::new(spec.id.clone(), SyscallType::default())
        .with_root_path(&spec.state_root)
        .map_err(chain)?
        .with_executor(workload);
    builder = match (stdio, &console) {
        (Some(stdio), None) => {
            builder.with_stdin(stdio.stdin).with_stdout(stdio.stdout).with_stderr(stdio.stderr)
        }
        (_, console) => builder.with_console_socket(console.as_ref().map(|console| &console.path)),
    };
    let mut container =
        builder.as_init(&spec.bundle).with_systemd(false).with_detach(true).build().map_err(chain)?;
    let pid = container.pid().ok_or("the container has no process")?.as_raw();
    if let Some(score) = spec.oom_score_adj {
        adjust_oom_score(pid, score);
    }
    let terminal = console.map(|console| console.receive()).transpose()?;
    container.start().map_err(chain)?;
    status.wait()?;
    Ok((pid, terminal))
}

fn try_exec(of: &StartSpec, spec: &ExecSpec, stdio: Option<Stdio>) -> Result<Started, String> {
    let directory = spec.process.parent().unwrap_or(Path::new("/"));
    let console = spec.tty.then(|| Console::listen(directory)).transpose()?;
    let (workload, status) = Workload::new(of.seccomp)?;
    let mut builder = ContainerBuilder::new(spec.container.clone(), SyscallType::default())
        .with_root_path(&of.state_root)
        .map_err(chain)?
        .with_executor(workload);
    builder = match (stdio, &console) {
        (Some(stdio), None) => {
            builder.with_stdin(stdio.stdin).with_stdout(stdio.stdout).with_stderr(stdio.stderr)
        }
        (_, console) => builder.with_console_socket(console.as_ref().map(|console| &console.path)),
    };
    let pid = builder
        .as_tenant()
        .with_detach(true)
        .with_process(Some(&spec.process))
        .build()
        .map_err(chain)?
        .as_raw();
    if let Some(score) = of.oom_score_adj {
        adjust_oom_score(pid, score);
    }
    let terminal = console.map(|console| console.receive()).transpose()?;
    status.wait()?;
    Ok((pid, terminal))
}

fn mount_rootfs(rootfs: &Rootfs, target: &Path) -> Result<(), String> {
    // Lower directories are named from here: the kernel takes one page of options, whatever the number of layers.
    std::env::set_current_dir(&rootfs.layers_dir).map_err(|e| format!("enter the layers' directory: {e}"))?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        rootfs.lower.join(":"),
        rootfs.upper.display(),
        rootfs.work.display()
    );
    let mounted = mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    let returned = std::env::set_current_dir("/");
    mounted.map_err(|e| format!("mount overlay on {}: {e}", target.display()))?;
    returned.map_err(|e| format!("enter /: {e}"))
}

/// Without CAP_SYS_RESOURCE the score cannot go below the inherited one: then that one stays (machine.md).
fn adjust_oom_score(pid: i32, score: i64) {
    let path = format!("/proc/{pid}/oom_score_adj");
    if std::fs::write(&path, score.clamp(-1000, 1000).to_string()).is_err() {
        let floor = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        // Already the inherited value, if this fails too.
        let _ = std::fs::write(&path, floor.trim());
    }
}

/// Where libcontainer sends the master of the terminal that it made inside the container.
struct Console {
    listener: UnixListener,
    path: std::path::PathBuf,
}

impl Console {
    fn listen(directory: &Path) -> Result<Self, String> {
        let path = directory.join(format!("tty-{}.sock", std::process::id()));
        // Bound by its last name alone: the whole path may be longer than a socket address.
        std::env::set_current_dir(directory).map_err(|e| format!("enter {}: {e}", directory.display()))?;
        let name = path.file_name().expect("the path was made from a name");
        let listener = UnixListener::bind(name).map_err(|e| format!("bind {}: {e}", path.display()))?;
        std::env::set_current_dir("/").map_err(|e| format!("enter /: {e}"))?;
        Ok(Self { listener, path })
    }

    fn receive(self) -> Result<OwnedFd, String> {
        let (stream, _) = self.listener.accept().map_err(|e| format!("accept the terminal: {e}"))?;
        let (mut descriptors, mut buffer) = (Vec::new(), [0; 256]);
        wire::receive(&stream, &mut buffer, &mut descriptors)
            .map_err(|e| format!("receive the terminal: {e}"))?;
        // The socket lies in a directory that goes with the container.
        let _ = std::fs::remove_file(&self.path);
        descriptors.pop().ok_or_else(|| "the terminal came without a descriptor".to_string())
    }
}

/// An error with its causes, the innermost last; libcontainer's outer ones say little.
fn chain(error: impl std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

/// Sends the outcome to the shim and ends the child.
pub(crate) fn report(channel: &impl AsRawFd, built: &Built, terminal: Option<&OwnedFd>) -> io::Result<()> {
    let descriptors: Vec<RawFd> = terminal.iter().map(|terminal| terminal.as_raw_fd()).collect();
    wire::send(channel, &serde_json::to_vec(built)?, &descriptors).map(|_| ())
}
