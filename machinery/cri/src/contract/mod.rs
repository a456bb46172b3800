//! What every CRI runtime must do for the kubelet, as a suite that any test can run against a socket.
//!
//! It needs one image that is present, and command lines for it; each case makes its own sandbox and takes it away.
//! A broken promise is a panic that names it.

mod containers;
mod images;
mod sandboxes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Client;
use crate::v1::*;

/// What the suite runs. All commands are for `image`.
#[derive(Debug, Clone)]
pub struct Params {
    /// An image that is present.
    pub image: String,
    /// Runs until it is stopped, and ends on SIGTERM or SIGKILL.
    pub wait: Vec<String>,
    /// Prints `hello` and a newline to standard output, and exits with code 3.
    pub hello_then_3: Vec<String>,
    /// As an exec: prints `hello` and a newline, and succeeds.
    pub exec_hello: Vec<String>,
    /// As an exec: exits with code 7.
    pub exec_7: Vec<String>,
    /// As an exec: does not return for a minute.
    pub exec_hang: Vec<String>,
    /// A directory for logs, on the runtime's file system.
    pub log_root: PathBuf,
    /// The parent of the cgroups that it makes; empty leaves the choice to the runtime.
    pub cgroup_parent: String,
    /// Sandboxes share the host's network, where the machine under test has no network plugin.
    pub host_network: bool,
}

/// Runs every case.
pub async fn run(client: &Client, params: &Params) {
    let suite = Suite { client, params };
    suite.versions_and_conditions().await;
    suite.sandbox_life().await;
    suite.sandbox_filters().await;
    suite.container_life().await;
    suite.container_exit_and_log().await;
    suite.container_filters().await;
    suite.exec().await;
    suite.removal_is_idempotent().await;
    suite.stopping_a_sandbox_stops_its_containers().await;
    suite.events().await;
    suite.images().await;
}

struct Suite<'a> {
    client: &'a Client,
    params: &'a Params,
}

impl Suite<'_> {
    fn sandbox_config(&self, name: &str) -> PodSandboxConfig {
        let mode = if self.params.host_network { NamespaceMode::Node } else { NamespaceMode::Pod };
        let namespaces = NamespaceOption {
            network: mode.into(),
            pid: NamespaceMode::Container.into(),
            ..Default::default()
        };
        let security =
            LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "contract".into(),
                attempt: 1,
            }),
            hostname: if self.params.host_network { String::new() } else { name.into() },
            log_directory: self.params.log_root.join(name).display().to_string(),
            labels: BTreeMap::from([("contract".into(), name.into()), ("suite".into(), "yes".into())]),
            annotations: BTreeMap::from([("note".into(), "kept".into())]),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.params.cgroup_parent.clone(),
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    async fn run_sandbox(&self, name: &str) -> (String, PodSandboxConfig) {
        let config = self.sandbox_config(name);
        std::fs::create_dir_all(&config.log_directory).expect("the log directory can be made");
        let request = RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
        let done = self.client.run_pod_sandbox(request).await.expect("RunPodSandbox works");
        (done.pod_sandbox_id, config)
    }

    async fn remove_sandbox(&self, id: &str) {
        let stop = StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.client.stop_pod_sandbox(stop).await.expect("StopPodSandbox works");
        let remove = RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.client.remove_pod_sandbox(remove).await.expect("RemovePodSandbox works");
    }

    async fn create(&self, sandbox: &(String, PodSandboxConfig), name: &str, command: &[String]) -> String {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(ImageSpec { image: self.params.image.clone(), ..Default::default() }),
            command: command.to_vec(),
            log_path: format!("{name}.log"),
            labels: BTreeMap::from([("contract".into(), name.into())]),
            annotations: BTreeMap::from([("hash".into(), "1".into())]),
            linux: Some(LinuxContainerConfig::default()),
            ..Default::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.0.clone(),
            config: Some(config),
            sandbox_config: Some(sandbox.1.clone()),
        };
        self.client.create_container(request).await.expect("CreateContainer works").container_id
    }

    async fn start(&self, id: &str) {
        let request = StartContainerRequest { container_id: id.into() };
        self.client.start_container(request).await.expect("StartContainer works");
    }

    async fn status(&self, id: &str) -> ContainerStatus {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: false };
        let response = self.client.container_status(request).await.expect("ContainerStatus works");
        response.status.expect("ContainerStatus holds a status")
    }

    /// Waits, on the runtime's own events, until the container has exited.
    async fn wait_for_exit(
        &self,
        id: &str,
        events: &mut tonic::Streaming<ContainerEventResponse>,
    ) -> ContainerStatus {
        loop {
            let status = self.status(id).await;
            if status.state() == ContainerState::ContainerExited {
                return status;
            }
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), events.message()).await;
            next.expect("an exit is told within 30 s")
                .expect("the stream lives")
                .expect("the stream goes on");
        }
    }

    async fn subscribe(&self) -> tonic::Streaming<ContainerEventResponse> {
        self.client.get_container_events(GetEventsRequest {}).await.expect("GetContainerEvents works")
    }
}
