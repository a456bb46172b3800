//! What is kept of pods and containers: a record that never changes and a status that does, each a file.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_cri::v1::{
    ContainerConfig, ContainerState, LinuxContainerResources, NamespaceMode, PodSandboxConfig,
};
use parking_lot::Mutex;
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::watch;
use tracing::warn;

use crate::disk;
use crate::sandbox::client::ShimClient;
use crate::sandbox::cni::Attachment;
use crate::shim::protocol::Exit;

/// A CRI message inside a JSON record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept<T>(pub T);

impl<T: Message> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.encode_to_vec()))
    }
}

impl<'de, T: Message + Default> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        T::decode(bytes.as_slice()).map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    pub id: String,
    pub config: Kept<PodSandboxConfig>,
    pub runtime_handler: String,
    pub created_at: i64,
    /// The boot in which it was started.
    pub boot: String,
    /// None on the host's network.
    pub netns: Option<PathBuf>,
    pub own_ipc: bool,
    pub share_pid: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PodStatus {
    pub ready: bool,
    pub attachment: Option<Attachment>,
    pub shim_pid: i32,
    pub pause_pid: Option<i32>,
}

pub(crate) struct Pod {
    pub record: PodRecord,
    pub shim: ShimClient,
    status: Mutex<PodStatus>,
    directory: PathBuf,
    /// Starting, starting a container, stopping and removing, one at a time.
    pub op: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub id: String,
    pub pod: String,
    pub config: Kept<ContainerConfig>,
    pub created_at: i64,
    pub image_id: String,
    pub image_ref: String,
    /// Names of the layers, the lowest first.
    pub layers: Vec<String>,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub cgroup: String,
    pub stop_signal: i32,
    pub seccomp: bool,
    pub log_path: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerStatus {
    pub phase: Phase,
    pub pid: i32,
    pub started_at: i64,
    pub finished_at: i64,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub resources: Option<Kept<LinuxContainerResources>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Created,
    Running,
    Exited,
}

pub(crate) struct Container {
    pub record: ContainerRecord,
    pub status: watch::Sender<ContainerStatus>,
    pub directory: PathBuf,
    /// Starting, stopping and removing, one at a time.
    pub op: tokio::sync::Mutex<()>,
}

impl Phase {
    pub(crate) fn state(self) -> ContainerState {
        match self {
            Self::Created => ContainerState::ContainerCreated,
            Self::Running => ContainerState::ContainerRunning,
            Self::Exited => ContainerState::ContainerExited,
        }
    }
}

impl Pod {
    pub(crate) fn new(record: PodRecord, status: PodStatus, directory: PathBuf, shim_dir: &Path) -> Self {
        let shim = ShimClient::new(shim_dir);
        Self { record, shim, status: Mutex::new(status), directory, op: tokio::sync::Mutex::default() }
    }

    /// Reads a pod from its directory; `None` when it never was complete.
    pub(crate) fn load(directory: &Path, shim_dir: impl FnOnce(&str) -> PathBuf) -> io::Result<Option<Self>> {
        let Some(record) = disk::read_json::<PodRecord>(&directory.join("record.json"))? else {
            return Ok(None);
        };
        let status = disk::read_json(&directory.join("status.json"))?.unwrap_or_default();
        let shim_dir = shim_dir(&record.id);
        Ok(Some(Self::new(record, status, directory.to_owned(), &shim_dir)))
    }

    pub(crate) fn config(&self) -> &PodSandboxConfig {
        &self.record.config.0
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn status(&self) -> PodStatus {
        self.status.lock().clone()
    }

    /// Writes the record; the pod exists from now on.
    pub(crate) fn save_record(&self) -> io::Result<()> {
        disk::write_json(&self.directory.join("record.json"), &self.record, false)
    }

    /// Changes the status, in memory and on disk.
    pub(crate) fn change(&self, change: impl FnOnce(&mut PodStatus)) {
        let status = {
            let mut status = self.status.lock();
            change(&mut status);
            status.clone()
        };
        if let Err(error) = disk::write_json(&self.directory.join("status.json"), &status, false) {
            warn!(pod = self.record.id, %error, "pod status not written");
        }
    }

    /// The name that the kubelet gave it, as containerd forms it.
    pub(crate) fn name(config: &PodSandboxConfig) -> String {
        let metadata = config.metadata.clone().unwrap_or_default();
        format!("{}_{}_{}_{}", metadata.name, metadata.namespace, metadata.uid, metadata.attempt)
    }
}

impl Container {
    pub(crate) fn new(record: ContainerRecord, status: ContainerStatus, directory: PathBuf) -> Self {
        Self { record, status: watch::Sender::new(status), directory, op: tokio::sync::Mutex::default() }
    }

    /// Reads a container from its directory; `None` when it never was complete.
    pub(crate) fn load(directory: &Path) -> io::Result<Option<Self>> {
        let Some(record) = disk::read_json::<ContainerRecord>(&directory.join("record.json"))? else {
            return Ok(None);
        };
        let status = disk::read_json(&directory.join("status.json"))?;
        let status = status.unwrap_or_else(|| ContainerStatus::created(&record.config.0));
        Ok(Some(Self::new(record, status, directory.to_owned())))
    }

    pub(crate) fn config(&self) -> &ContainerConfig {
        &self.record.config.0
    }

    pub(crate) fn status(&self) -> ContainerStatus {
        self.status.borrow().clone()
    }

    pub(crate) fn exit_file(&self) -> PathBuf {
        self.directory.join("exit.json")
    }

    pub(crate) fn save_record(&self) -> io::Result<()> {
        disk::write_json(&self.directory.join("record.json"), &self.record, false)
    }

    /// Changes the status, in memory and on disk, and wakes those who wait for it. `change` says whether it changed.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ContainerStatus) -> bool) -> bool {
        // The file first: who is woken may at once remove the container.
        let mut status = self.status();
        if !change(&mut status) {
            return false;
        }
        if let Err(error) = disk::write_json(&self.directory.join("status.json"), &status, false) {
            warn!(container = self.record.id, %error, "container status not written");
        }
        self.status.send_replace(status);
        true
    }

    /// Notes the end; false when it was known already.
    pub(crate) fn ended(&self, exit: &Exit) -> bool {
        self.change(|status| {
            if status.phase == Phase::Exited {
                return false;
            }
            status.phase = Phase::Exited;
            status.pid = 0;
            status.exit_code = exit.code;
            status.finished_at = exit.at_ns;
            status.reason = match (exit.oom_killed, exit.code) {
                (true, _) => "OOMKilled",
                (false, 0) => "Completed",
                (false, _) => "Error",
            }
            .to_string();
            true
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status.borrow().phase == Phase::Running
    }

    /// The name that the kubelet gave it, as containerd forms it.
    pub(crate) fn name(config: &ContainerConfig, pod: &PodSandboxConfig) -> String {
        let (own, pod) =
            (config.metadata.clone().unwrap_or_default(), pod.metadata.clone().unwrap_or_default());
        format!("{}_{}_{}_{}_{}", own.name, pod.name, pod.namespace, pod.uid, own.attempt)
    }
}

impl ContainerStatus {
    pub(crate) fn created(config: &ContainerConfig) -> Self {
        Self {
            phase: Phase::Created,
            pid: 0,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            resources: config.linux.as_ref().and_then(|linux| linux.resources.clone()).map(Kept),
        }
    }
}

/// The pod's namespace options.
pub(crate) fn namespace_options(config: &PodSandboxConfig) -> oarlock_cri::v1::NamespaceOption {
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    security.and_then(|security| security.namespace_options.clone()).unwrap_or_default()
}

pub(crate) fn is_host(mode: i32) -> bool {
    mode == NamespaceMode::Node as i32
}
