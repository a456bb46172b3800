//! Containers: creating, starting, stopping, removing, updating.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oarlock_cri::v1::{
    ContainerConfig, ContainerEventType, LinuxContainerResources, NamespaceMode, PodSandboxConfig, Signal,
};
use tracing::{info, warn};

use super::record::{Container, ContainerRecord, ContainerStatus, Kept, Phase, Pod};
use super::{Runtime, RuntimeError, signal};
use crate::cgroup::{self, Cgroup, Limits};
use crate::disk;
use crate::images::Image;
use crate::oci::mounts::Basics;
use crate::oci::spec::{self, Namespaces, PidNamespace};
use crate::oci::user::{self, Database};
use crate::sandbox::client::ShimError;
use crate::shim::protocol::{Exit, Request, Response, Rootfs, StartSpec};

/// The exit code of what never ran, as containerd gives it.
const NEVER_STARTED: i32 = 128;
/// How long a killed process may take to be gone before that is an error.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

impl Runtime {
    pub(super) async fn create_container(
        self: Arc<Self>,
        pod_id: String,
        config: ContainerConfig,
        pod_config: Option<PodSandboxConfig>,
    ) -> Result<String, RuntimeError> {
        let pod = self.pod(&pod_id)?;
        if !pod.status().ready {
            return Err(not_running(&pod));
        }
        if config.metadata.is_none() {
            return Err(RuntimeError::Invalid("container config must include metadata".to_string()));
        }
        // From the look at the image until the container names its layers.
        let _growing = self.images.grow();
        let asked = config.image.clone().unwrap_or_default().image;
        let image =
            self.images.find(&asked).ok_or_else(|| RuntimeError::NotFound { kind: "image", id: asked })?;
        let id = disk::new_id();
        self.reserve("container", &Container::name(&config, pod.config()), &id)?;
        let log_directory = pod_config.as_ref().unwrap_or(pod.config()).log_directory.clone();
        let prepared = self.prepare(&id, &pod, config, &image, &log_directory);
        match prepared.and_then(|container| self.admit(&pod, container)) {
            Ok(()) => {
                self.emit(&id, &pod, ContainerEventType::ContainerCreatedEvent);
                Ok(id)
            }
            Err(error) => {
                self.release(&id);
                // The error is what matters; the directory has no record and is removed at the next start.
                let _ = disk::remove_all(&self.container_dir(&id));
                Err(error)
            }
        }
    }

    /// Makes a container known, unless its pod was stopped meanwhile: who stops a pod lists its containers afterwards.
    fn admit(&self, pod: &Pod, container: Container) -> Result<(), RuntimeError> {
        let mut state = self.state.lock();
        if !pod.status().ready {
            return Err(not_running(pod));
        }
        state.containers.insert(container.record.id.clone(), Arc::new(container));
        Ok(())
    }

    fn prepare(
        &self,
        id: &str,
        pod: &Pod,
        config: ContainerConfig,
        image: &Image,
        log_directory: &str,
    ) -> Result<Container, RuntimeError> {
        let security = spec::security_of(&config);
        spec::check_apparmor(&security).map_err(RuntimeError::Invalid)?;
        let database = Database::of_layers(&self.images.layer_paths(image));
        let user = user::resolve(&security, &image.config.user, &database).map_err(RuntimeError::Invalid)?;
        let directory = self.container_dir(id);
        let failed = |source| RuntimeError::Io { what: format!("prepare container {id:?}"), source };
        for inner in ["upper", "work"] {
            fs::create_dir_all(directory.join(inner)).map_err(failed)?;
        }
        let record = ContainerRecord {
            id: id.to_string(),
            pod: pod.record.id.clone(),
            created_at: disk::now_ns(),
            image_id: image.id.clone(),
            image_ref: image.digests.iter().next().cloned().unwrap_or_else(|| image.id.clone()),
            layers: image.layers.clone(),
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
            cgroup: self.cgroup_of(pod, id),
            stop_signal: stop_signal(&config, &image.config.stop_signal),
            seccomp: spec::seccomp(&security).map_err(RuntimeError::Invalid)?,
            log_path: (!config.log_path.is_empty() && !log_directory.is_empty())
                .then(|| Path::new(log_directory).join(&config.log_path)),
            config: Kept(config),
        };
        let text = self.specification(pod, &record, image, &user)?;
        fs::write(directory.join("config.json"), text.to_string()).map_err(failed)?;
        let status = ContainerStatus::created(&record.config.0);
        let container = Container::new(record, status, directory);
        container.save_record().map_err(failed)?;
        Ok(container)
    }

    fn specification(
        &self,
        pod: &Pod,
        record: &ContainerRecord,
        image: &Image,
        user: &user::User,
    ) -> Result<serde_json::Value, RuntimeError> {
        let config = &record.config.0;
        for mount in &config.mounts {
            // As containerd and Docker: a directory that is missing on the host is made.
            let path = Path::new(&mount.host_path);
            if mount.image.is_some() {
                return Err(RuntimeError::Invalid(
                    "image volumes are not supported by this runtime".to_string(),
                ));
            }
            if !path.exists() {
                fs::create_dir_all(path)
                    .map_err(RuntimeError::io(format!("create the mount's source {}", path.display())))?;
            }
        }
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let shm =
            if pod.record.own_ipc { text(pod.shim.directory().join("shm")) } else { "/dev/shm".to_string() };
        let (resolv, name) =
            (text(pod.directory().join("resolv.conf")), text(pod.directory().join("hostname")));
        let input = spec::Input {
            config,
            image: &image.config,
            user,
            hostname: &self.hostname(pod),
            basics: Basics {
                privileged: spec::security_of(config).privileged,
                shm: &shm,
                resolv_conf: Some(&resolv),
                hostname: Some(&name),
                unified_cgroups: matches!(cgroup::hierarchies(), cgroup::Hierarchies::Unified(_)),
            },
            namespaces: self.namespaces(pod, config)?,
            cgroup: &record.cgroup,
            possible: self.possible,
            swap_accounted: self.swap_accounted,
        };
        spec::build(&input).map_err(RuntimeError::Invalid)
    }

    fn namespaces(&self, pod: &Pod, config: &ContainerConfig) -> Result<Namespaces, RuntimeError> {
        let status = pod.status();
        let of = |pid: i32, kind: &str| format!("/proc/{pid}/ns/{kind}");
        let (mode, target) = spec::pid_mode(config);
        let pid = match mode {
            NamespaceMode::Container => PidNamespace::Own,
            NamespaceMode::Node => PidNamespace::Host,
            NamespaceMode::Pod => match status.pause_pid {
                Some(pause) => PidNamespace::Joined(of(pause, "pid")),
                None => PidNamespace::Own,
            },
            NamespaceMode::Target => {
                let target = self.container(&target)?;
                let pid = target.status().pid;
                if target.record.pod != pod.record.id || pid == 0 {
                    let message =
                        format!("target container {:?} is not running in this pod", target.record.id);
                    return Err(RuntimeError::State(message));
                }
                PidNamespace::Joined(of(pid, "pid"))
            }
        };
        let network = pod.record.netns.as_ref();
        Ok(Namespaces {
            network: network.map(|netns| netns.to_string_lossy().into_owned()),
            ipc: pod.record.own_ipc.then(|| of(status.shim_pid, "ipc")),
            uts: network.map(|_| of(status.shim_pid, "uts")),
            pid,
        })
    }

    /// The group of a container, or of its pod for an empty id.
    pub(super) fn cgroup_of(&self, pod: &Pod, id: &str) -> String {
        let parent =
            pod.config().linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default();
        let parent = match parent {
            "" => format!("{}/pods/{}", self.config.cgroup_root, pod.record.id),
            parent => parent.trim_end_matches('/').to_string(),
        };
        if id.is_empty() { parent } else { format!("{parent}/{id}") }
    }

    pub(super) async fn start_container(self: Arc<Self>, id: String) -> Result<(), RuntimeError> {
        let container = self.container(&id)?;
        let id = &container.record.id;
        let _one = container.op.lock().await;
        let phase = container.status().phase;
        if phase != Phase::Created {
            let state = phase.state().as_str_name();
            return Err(RuntimeError::State(format!("container {id:?} is in {state} state")));
        }
        let pod = self.pod(&container.record.pod)?;
        let _pod_stays = pod.op.lock().await;
        if !pod.status().ready {
            return Err(not_running(&pod));
        }
        let spec = self.start_spec(&pod, &container)?;
        let started_at = disk::now_ns();
        match pod.shim.call(&Request::Start(spec)).await {
            Ok((Response::Started { pid }, _)) => {
                container.change(|status| {
                    // It may have ended already; then the event was quicker than the answer.
                    status.started_at = started_at;
                    if status.phase == Phase::Created {
                        status.phase = Phase::Running;
                        status.pid = pid;
                    }
                    true
                });
                info!(container = id, pod = pod.record.id, pid, "container started");
                self.emit(id, &pod, ContainerEventType::ContainerStartedEvent);
                Ok(())
            }
            Ok((other, _)) => Err(RuntimeError::State(format!("the shim answered {other:?}"))),
            Err(source) => {
                self.could_not_start(&container, &pod, &source);
                Err(start_error(source))
            }
        }
    }

    fn could_not_start(&self, container: &Container, pod: &Pod, error: &ShimError) {
        let (now, message) = (disk::now_ns(), format!("failed to start container: {error}"));
        container.change(|status| {
            status.phase = Phase::Exited;
            status.exit_code = NEVER_STARTED;
            (status.started_at, status.finished_at) = (now, now);
            status.reason = "StartError".to_string();
            status.message = message;
            true
        });
        warn!(container = container.record.id, %error, "container not started");
        self.emit(&container.record.id, pod, ContainerEventType::ContainerStoppedEvent);
    }

    fn start_spec(&self, pod: &Pod, container: &Container) -> Result<StartSpec, RuntimeError> {
        let record = &container.record;
        let bundle = self.bundle(pod, &record.id);
        let failed = |source| RuntimeError::Io { what: format!("prepare container {:?}", record.id), source };
        fs::create_dir_all(bundle.join("rootfs")).map_err(failed)?;
        fs::copy(container.directory.join("config.json"), bundle.join("config.json")).map_err(failed)?;
        if let Some(directory) = record.log_path.as_ref().and_then(|path| path.parent()) {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let config = container.config();
        let resources = config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        Ok(StartSpec {
            id: record.id.clone(),
            state_root: pod.shim.directory().join("oci"),
            rootfs: Rootfs {
                layers_dir: self.images.layers_dir().to_owned(),
                lower: record.layers.iter().rev().cloned().collect(),
                upper: container.directory.join("upper"),
                work: container.directory.join("work"),
            },
            cgroup: record.cgroup.clone(),
            log_path: record.log_path.clone(),
            exit_file: container.exit_file(),
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            tty: config.tty,
            oom_score_adj: resources.map(|resources| resources.oom_score_adj),
            seccomp: record.seccomp,
            bundle,
        })
    }

    pub(super) fn bundle(&self, pod: &Pod, id: &str) -> PathBuf {
        pod.shim.directory().join("c").join(id)
    }

    pub(super) async fn stop_container(
        self: Arc<Self>,
        id: String,
        timeout: i64,
    ) -> Result<(), RuntimeError> {
        match self.container(&id) {
            Ok(container) => self.stop(&container, timeout).await,
            Err(RuntimeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks a container to end, and after `timeout` seconds makes it. Returns when it has ended.
    pub(super) async fn stop(&self, container: &Container, timeout: i64) -> Result<(), RuntimeError> {
        if !container.is_running() {
            return Ok(());
        }
        let pod = self.pod(&container.record.pod)?;
        let id = &container.record.id;
        let kill = |signal, all| Request::Kill { container: id.clone(), signal, all };
        if timeout > 0 {
            let asked = pod.shim.order(&kill(container.record.stop_signal, false)).await;
            let patience = Duration::from_secs(u64::try_from(timeout).unwrap_or(0));
            if asked.is_ok() && wait_for_end(container, patience).await {
                return Ok(());
            }
        }
        if let Err(source) = pod.shim.order(&kill(libc::SIGKILL, true)).await {
            warn!(
                container = id,
                error = super::chain(&source),
                "shim gone; killing the container's processes"
            );
            self.abandon(container);
        }
        if wait_for_end(container, KILL_PATIENCE).await {
            Ok(())
        } else {
            Err(RuntimeError::Deadline(format!(
                "an error occurs during waiting for container {id:?} to be killed"
            )))
        }
    }

    /// Ends a container whose shim is gone, with the exit code that nobody has seen.
    pub(super) fn abandon(&self, container: &Container) {
        Cgroup::new(&container.record.cgroup).destroy();
        let seen = disk::read_json::<Exit>(&container.exit_file()).ok().flatten();
        let exit = seen.clone().unwrap_or(Exit { code: 255, at_ns: disk::now_ns(), oom_killed: false });
        if container.ended(&exit) && seen.is_none() {
            container.change(|status| {
                status.reason = "Unknown".to_string();
                true
            });
        }
    }

    pub(super) async fn remove_container(self: Arc<Self>, id: String) -> Result<(), RuntimeError> {
        let container = match self.container(&id) {
            Ok(container) => container,
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let id = &container.record.id;
        let _one = container.op.lock().await;
        self.stop(&container, 0).await?;
        if let Ok(pod) = self.pod(&container.record.pod) {
            // The shim may be gone with the pod; then so is what it knew.
            let _ = pod.shim.order(&Request::Forget { container: id.clone() }).await;
            let _ = disk::remove_all(&self.bundle(&pod, id));
            self.state.lock().containers.remove(id);
            self.emit(id, &pod, ContainerEventType::ContainerDeletedEvent);
        }
        self.state.lock().containers.remove(id);
        let directory = container.directory.clone();
        disk::remove_all(&directory).map_err(RuntimeError::io(format!("remove container {id:?}")))?;
        self.release(id);
        info!(container = id, "container removed");
        Ok(())
    }

    pub(super) fn update_resources(
        &self,
        id: &str,
        asked: LinuxContainerResources,
    ) -> Result<(), RuntimeError> {
        let container = self.container(id)?;
        let phase = container.status().phase;
        if phase == Phase::Exited {
            let message =
                format!("container {:?} is in {} state", container.record.id, phase.state().as_str_name());
            return Err(RuntimeError::State(message));
        }
        let group = Cgroup::new(&container.record.cgroup);
        if phase == Phase::Running {
            group.update(&limits(&asked)).map_err(RuntimeError::io("failed to update resources"))?;
        }
        container.change(|status| {
            let merged = merge(status.resources.take().unwrap_or_default().0, asked);
            status.resources = Some(Kept(merged));
            true
        });
        Ok(())
    }
}

fn not_running(pod: &Pod) -> RuntimeError {
    RuntimeError::State(format!("sandbox container {:?} is not running", pod.record.id))
}

async fn wait_for_end(container: &Container, patience: Duration) -> bool {
    let mut status = container.status.subscribe();
    let ended = status.wait_for(|status| status.phase == Phase::Exited);
    tokio::time::timeout(patience, ended).await.is_ok_and(|ended| ended.is_ok())
}

fn start_error(source: ShimError) -> RuntimeError {
    // The words of runc and its callers: users and tools search for them.
    let what = match source {
        ShimError::Refused(_) => {
            "failed to create task: OCI runtime create failed: unable to start container process"
        }
        _ => "failed to start the container",
    };
    RuntimeError::Shim { what: what.to_string(), source }
}

fn stop_signal(config: &ContainerConfig, image: &str) -> i32 {
    let asked = Signal::try_from(config.stop_signal).unwrap_or(Signal::RuntimeDefault);
    let asked = (asked != Signal::RuntimeDefault).then(|| signal::number(asked.as_str_name())).flatten();
    asked.or_else(|| signal::number(image)).unwrap_or(libc::SIGTERM)
}

/// Zero and empty mean "as it is" in CRI.
pub(super) fn limits(asked: &LinuxContainerResources) -> Limits {
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    let number = |value: i64| (value != 0).then_some(value);
    Limits {
        cpu_shares: u64::try_from(asked.cpu_shares).ok().filter(|shares| *shares > 0),
        cpu_quota: number(asked.cpu_quota),
        cpu_period: u64::try_from(asked.cpu_period).ok().filter(|period| *period > 0),
        memory_bytes: number(asked.memory_limit_in_bytes),
        memory_swap_bytes: number(asked.memory_swap_limit_in_bytes),
        cpuset_cpus: text(&asked.cpuset_cpus),
        cpuset_mems: text(&asked.cpuset_mems),
        pids: None,
    }
}

fn merge(mut known: LinuxContainerResources, asked: LinuxContainerResources) -> LinuxContainerResources {
    let keep = |known: &mut i64, asked: i64| {
        if asked != 0 {
            *known = asked;
        }
    };
    keep(&mut known.cpu_period, asked.cpu_period);
    keep(&mut known.cpu_quota, asked.cpu_quota);
    keep(&mut known.cpu_shares, asked.cpu_shares);
    keep(&mut known.memory_limit_in_bytes, asked.memory_limit_in_bytes);
    keep(&mut known.memory_swap_limit_in_bytes, asked.memory_swap_limit_in_bytes);
    if !asked.cpuset_cpus.is_empty() {
        known.cpuset_cpus = asked.cpuset_cpus;
    }
    if !asked.cpuset_mems.is_empty() {
        known.cpuset_mems = asked.cpuset_mems;
    }
    known.unified.extend(asked.unified);
    known
}
