//! Pods: starting, stopping, removing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use oarlock_cri::v1::{ContainerEventType, NamespaceMode, PodSandboxConfig, ProfileType};
use tracing::{info, warn};

use super::record::{Kept, Pod, PodRecord, PodStatus, is_host, namespace_options};
use super::{Runtime, RuntimeError};
use crate::disk;
use crate::sandbox::{cni, files, launch};
use crate::shim::protocol::{Event, Request, ShimConfig};

impl Runtime {
    /// Starts a pod: its shim with the namespaces, then its network. Nothing stays of a pod that could not start. It
    /// is known, and not ready, from the beginning: who stops all pods finds it, and waits for it.
    pub(super) async fn run_pod(
        self: Arc<Self>,
        config: PodSandboxConfig,
        handler: String,
    ) -> Result<String, RuntimeError> {
        check(&config, &handler)?;
        let id = disk::new_id();
        self.reserve("sandbox", &Pod::name(&config), &id)?;
        let pod = Arc::new(self.new_pod(&id, config, handler));
        let _one = pod.op.lock().await;
        self.state.lock().pods.insert(id.clone(), pod.clone());
        match self.start_pod(&pod).await {
            Ok(()) => {
                info!(pod = id, name = Pod::name(pod.config()), ips = ?ips(&pod), "pod started");
                self.emit(&id, &pod, ContainerEventType::ContainerCreatedEvent);
                self.emit(&id, &pod, ContainerEventType::ContainerStartedEvent);
                Ok(id)
            }
            Err(error) => {
                self.tear_down(&pod).await;
                self.state.lock().pods.remove(&id);
                self.forget_pod(&pod);
                Err(error)
            }
        }
    }

    fn new_pod(&self, id: &str, config: PodSandboxConfig, runtime_handler: String) -> Pod {
        let options = namespace_options(&config);
        let netns = (!is_host(options.network)).then(|| self.config.run_dir.join("netns").join(id));
        let record = PodRecord {
            id: id.to_string(),
            config: Kept(config),
            runtime_handler,
            created_at: disk::now_ns(),
            boot: self.boot.clone(),
            netns,
            own_ipc: !is_host(options.ipc),
            share_pid: options.pid == NamespaceMode::Pod as i32,
        };
        Pod::new(record, PodStatus::default(), self.pod_dir(id), &self.shim_dir(id))
    }

    async fn start_pod(self: &Arc<Self>, pod: &Arc<Pod>) -> Result<(), RuntimeError> {
        let (id, config) = (&pod.record.id, pod.config());
        let shim_dir = pod.shim.directory();
        let in_the_way = |source| RuntimeError::Io { what: format!("prepare sandbox {id:?}"), source };
        self.write_files(pod, shim_dir).map_err(in_the_way)?;
        let own_uts = pod.record.netns.is_some();
        let shim_config = ShimConfig {
            id: id.clone(),
            cgroup: format!("{}/shims", self.config.cgroup_root),
            hostname: Some(config.hostname.clone()).filter(|name| own_uts && !name.is_empty()),
            netns_pin: pod.record.netns.clone(),
            own_ipc: pod.record.own_ipc,
            own_uts,
            share_pid: pod.record.share_pid,
            shm: pod.record.own_ipc.then(|| shim_dir.join("shm")),
            sysctls: sysctls(config, own_uts),
        };
        let child = launch::launch(&self.config.shim_exe, shim_dir, &shim_config)
            .await
            .map_err(|source| RuntimeError::Launch { id: id.clone(), source })?;
        self.reap(child);
        if let Some(netns) = &pod.record.netns {
            let failed = |source| RuntimeError::Network { id: id.clone(), source };
            let mut attachment = self.cni.plan(config).map_err(failed)?;
            // Noted before it is done: an agent that is killed meanwhile leaves what the next one can undo.
            pod.change(|status| status.attachment = Some(attachment.clone()));
            self.cni.add(&cni::Pod { id, netns, config }, &mut attachment).await.map_err(failed)?;
            pod.change(|status| status.attachment = Some(attachment));
        }
        self.follow(pod).await.map_err(RuntimeError::shim(format!("follow the shim of sandbox {id:?}")))?;
        pod.change(|status| status.ready = true);
        Ok(())
    }

    fn write_files(&self, pod: &Pod, shim_dir: &Path) -> std::io::Result<()> {
        let directory = pod.directory();
        fs::create_dir_all(directory)?;
        fs::create_dir_all(shim_dir.join("c"))?;
        fs::create_dir_all(shim_dir.join("shm"))?;
        if let Some(netns) = pod.record.netns.as_ref().and_then(|netns| netns.parent()) {
            fs::create_dir_all(netns)?;
        }
        let config = pod.config();
        if !config.log_directory.is_empty() {
            fs::create_dir_all(&config.log_directory)?;
        }
        fs::write(directory.join("resolv.conf"), files::resolv_conf(config.dns_config.as_ref()))?;
        fs::write(directory.join("hostname"), format!("{}\n", self.hostname(pod)))?;
        pod.save_record()
    }

    /// The host name that the pod's containers see.
    pub(super) fn hostname(&self, pod: &Pod) -> String {
        match pod.config().hostname.as_str() {
            "" => fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string(),
            name => name.to_string(),
        }
    }

    /// The shim is a child of whichever agent started it; that one must take its exit code, which means nothing.
    fn reap(&self, mut child: tokio::process::Child) {
        let stop = self.tasks.shutdown().clone();
        self.tasks.spawn("shim", async move {
            // After the agent's own end, init does it.
            let _ = stop.or(child.wait()).await;
        });
    }

    /// Listens to the shim's events for as long as it lives.
    pub(super) async fn follow(
        self: &Arc<Self>,
        pod: &Arc<Pod>,
    ) -> Result<(), crate::sandbox::client::ShimError> {
        let mut connection = pod.shim.open(&Request::Events, &[]).await?;
        let gone =
            || crate::sandbox::client::ShimError::Unreachable(std::io::ErrorKind::UnexpectedEof.into());
        let first = connection.next().await.map_err(crate::sandbox::client::ShimError::Unreachable)?;
        self.apply(pod, first.ok_or_else(gone)?);
        let (runtime, pod, stop) = (self.clone(), pod.clone(), self.tasks.shutdown().clone());
        self.tasks.spawn("shim-events", async move {
            while let Some(received) = stop.or(connection.next::<Event>()).await {
                match received {
                    Ok(Some(event)) => runtime.apply(&pod, event),
                    Ok(None) | Err(_) => return runtime.shim_died(&pod).await,
                }
            }
        });
        Ok(())
    }

    /// Stops a pod: its containers by force, its network, its shim. May be called again.
    pub(super) async fn stop_pod(self: Arc<Self>, id: String) -> Result<(), RuntimeError> {
        let pod = match self.pod(&id) {
            Ok(pod) => pod,
            // As containerd: what is not there is stopped.
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let _one = pod.op.lock().await;
        if !self.state.lock().pods.contains_key(&pod.record.id) {
            // It could not start, or somebody else has removed it.
            return Ok(());
        }
        for container in self.containers_of(&pod.record.id) {
            self.stop(&container, 0).await?;
        }
        let was_ready = pod.status().ready;
        self.tear_down(&pod).await;
        if was_ready {
            info!(pod = pod.record.id, "pod stopped");
            self.emit(&pod.record.id, &pod, ContainerEventType::ContainerStoppedEvent);
        }
        Ok(())
    }

    /// Undoes what `start_pod` did, as far as it got.
    pub(super) async fn tear_down(&self, pod: &Pod) {
        let status = pod.status();
        pod.change(|status| status.ready = false);
        if let (Some(netns), Some(attachment)) = (&pod.record.netns, &status.attachment) {
            let detached = cni::Pod { id: &pod.record.id, netns, config: pod.config() };
            match self.cni.del(&detached, attachment).await {
                Ok(()) => pod.change(|status| status.attachment = None),
                // Tried again when the pod is removed.
                Err(error) => {
                    warn!(pod = pod.record.id, error = super::chain(&error), "network not detached")
                }
            }
        }
        // A shim that does not answer is dead, and so is all that it held.
        let _ = pod.shim.order(&Request::Shutdown).await;
        if let Some(netns) = &pod.record.netns {
            // Neither exists if the shim never got that far.
            let _ = nix::mount::umount2(netns, nix::mount::MntFlags::MNT_DETACH);
            let _ = fs::remove_file(netns);
        }
        // Not mounted on the host's IPC, or after a reboot.
        let _ = nix::mount::umount2(&pod.shim.directory().join("shm"), nix::mount::MntFlags::MNT_DETACH);
        // On tmpfs, and in nobody's way.
        let _ = disk::remove_all(pod.shim.directory());
    }

    /// Removes a pod and its containers. May be called again.
    pub(super) async fn remove_pod(self: Arc<Self>, id: String) -> Result<(), RuntimeError> {
        let pod = match self.pod(&id) {
            Ok(pod) => pod,
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.clone().stop_pod(pod.record.id.clone()).await?;
        for container in self.containers_of(&pod.record.id) {
            self.clone().remove_container(container.record.id.clone()).await?;
        }
        let _one = pod.op.lock().await;
        if self.state.lock().pods.remove(&pod.record.id).is_none() {
            return Ok(());
        }
        self.forget_pod(&pod);
        info!(pod = pod.record.id, "pod removed");
        self.emit(&pod.record.id, &pod, ContainerEventType::ContainerDeletedEvent);
        Ok(())
    }

    fn forget_pod(&self, pod: &Pod) {
        if let Err(error) = disk::remove_all(pod.directory()) {
            warn!(pod = pod.record.id, %error, "pod directory not removed");
        }
        self.release(&pod.record.id);
    }
}

fn ips(pod: &Pod) -> Vec<String> {
    pod.status().attachment.map(|attachment| attachment.addresses()).unwrap_or_default()
}

/// Refuses what this runtime cannot honour.
fn check(config: &PodSandboxConfig, handler: &str) -> Result<(), RuntimeError> {
    let invalid = |what: &str| Err(RuntimeError::Invalid(what.to_string()));
    if config.metadata.is_none() {
        return invalid("sandbox config must include metadata");
    }
    if !["", "oarlock"].contains(&handler) {
        return Err(RuntimeError::Invalid(format!("no runtime for {handler:?} is configured")));
    }
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let options = namespace_options(config);
    if options.userns_options.as_ref().is_some_and(|user| user.mode == NamespaceMode::Pod as i32) {
        return invalid("user namespaces are not supported by this runtime");
    }
    let localhost =
        |profile: &oarlock_cri::v1::SecurityProfile| profile.profile_type == ProfileType::Localhost as i32;
    if security.is_some_and(|s| !s.privileged && s.seccomp.as_ref().is_some_and(localhost)) {
        return invalid("seccomp profiles of type Localhost are not supported by this runtime");
    }
    Ok(())
}

/// The pod's sysctls, and the two with which containerd opens low ports and ping to everybody in a pod.
fn sysctls(config: &PodSandboxConfig, own_network: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if own_network {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_string(), "0".to_string());
        all.insert("net.ipv4.ping_group_range".to_string(), "0 2147483647".to_string());
    }
    let asked = config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default();
    all.extend(asked);
    all
}
