//! What agent and shim say to each other: frames of a four-byte length and JSON, file descriptors beside the first byte.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// No frame is longer: a container's whole configuration lies in files, not in frames.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a shim is told at birth, in `config.json` of its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShimConfig {
    pub id: String,
    /// The group that the shim itself runs in.
    pub cgroup: String,
    pub hostname: Option<String>,
    /// Where the new network namespace is pinned; none on the host's network.
    pub netns_pin: Option<PathBuf>,
    pub own_ipc: bool,
    pub own_uts: bool,
    /// The containers share one process namespace, whose init the shim provides.
    pub share_pid: bool,
    /// Where the pod's /dev/shm is mounted.
    pub shm: Option<PathBuf>,
    pub sysctls: BTreeMap<String, String>,
}

/// One container to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StartSpec {
    pub id: String,
    /// Holds config.json and is where the root file system is mounted.
    pub bundle: PathBuf,
    /// libcontainer's own state.
    pub state_root: PathBuf,
    pub rootfs: Rootfs,
    pub cgroup: String,
    pub log_path: Option<PathBuf>,
    pub exit_file: PathBuf,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    pub oom_score_adj: Option<i64>,
    pub seccomp: bool,
}

/// The overlay of one container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rootfs {
    /// The directory that `lower` is relative to.
    pub layers_dir: PathBuf,
    /// The topmost first.
    pub lower: Vec<String>,
    pub upper: PathBuf,
    pub work: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    pub container: String,
    pub exec: String,
    /// The OCI process, in a file.
    pub process: PathBuf,
    pub tty: bool,
    pub stdin: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(crate) enum Request {
    Start(StartSpec),
    Kill {
        container: String,
        signal: i32,
        all: bool,
    },
    /// Descriptors: stdin if any, stdout, stderr. Answered twice: when it runs, and when it has ended.
    Exec(ExecSpec),
    KillExec {
        exec: String,
    },
    /// Descriptors: where stdout and stderr are copied to.
    Attach {
        container: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    CloseStdin {
        container: String,
    },
    ReopenLog {
        container: String,
    },
    /// A TCP connection to a port of the pod's loopback.
    Dial {
        port: u16,
    },
    /// The connection becomes a stream of [`Event`]s.
    Events,
    /// Forget a container that has ended.
    Forget {
        container: String,
    },
    Shutdown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Response {
    Done,
    Started {
        pid: i32,
    },
    Exited {
        code: i32,
    },
    /// Descriptors beside this: the terminal's master, a stdin, or a connection.
    Descriptors,
    NotFound,
    Failed {
        message: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// First on every stream: what runs, and the init of a shared process namespace.
    Snapshot {
        running: BTreeMap<String, i32>,
        exited: Vec<(String, Exit)>,
        shim_pid: i32,
        pause_pid: Option<i32>,
    },
    Exited {
        container: String,
        exit: Exit,
    },
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub code: i32,
    pub at_ns: i64,
    pub oom_killed: bool,
}
