//! What the fake runtime holds, and the transitions of it; no gRPC here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use tonic::Status;

use crate::v1::{
    self, ContainerEventResponse, ContainerEventType, ContainerMetadata, ContainerState, PodSandboxState,
};

#[derive(Default)]
pub(super) struct State {
    pub(super) sandboxes: BTreeMap<String, Sandbox>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) images: BTreeMap<String, v1::Image>,
    pub(super) pullable: BTreeSet<String>,
    pub(super) failures: BTreeMap<&'static str, VecDeque<Status>>,
    pub(super) execs: BTreeMap<Vec<String>, (i32, String)>,
    pub(super) calls: Vec<String>,
    pub(super) network_down: bool,
    counter: u64,
}

pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) config: v1::PodSandboxConfig,
    pub(super) ready: bool,
    created_at: i64,
    ip: String,
    handler: String,
}

pub(super) struct Container {
    pub(super) id: String,
    pub(super) sandbox: String,
    pub(super) config: v1::ContainerConfig,
    pub(super) order: u64,
    state: ContainerState,
    image_ref: String,
    /// Absolute, as kubelets read it; empty for none.
    log_path: String,
    created_at: i64,
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
}

impl State {
    /// Notes a call that changes something, and answers the failure that a test queued for it.
    pub(super) fn called(&mut self, method: &'static str) -> Result<(), Status> {
        self.calls.push(method.to_owned());
        match self.failures.get_mut(method).and_then(VecDeque::pop_front) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    fn fresh(&mut self, prefix: &str) -> (String, u64) {
        self.counter += 1;
        (format!("{prefix}{:060x}", self.counter), self.counter)
    }

    pub(super) fn add_image(&mut self, name: &str) {
        let id =
            format!("sha256:{:064x}", name.bytes().fold(7_u64, |h, b| h.wrapping_mul(31) + u64::from(b)));
        let digest = format!("{}@{id}", name.split([':', '@']).next().unwrap_or(name));
        let image = v1::Image {
            id,
            repo_tags: vec![name.to_owned()],
            repo_digests: vec![digest],
            size: 1024,
            spec: Some(v1::ImageSpec { image: name.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        self.images.insert(name.to_owned(), image);
    }

    /// The image that a name, digest or id means.
    pub(super) fn image(&self, name: &str) -> Option<&v1::Image> {
        self.images.get(name).or_else(|| {
            self.images
                .values()
                .find(|image| image.id == name || image.repo_digests.iter().any(|d| d == name))
        })
    }

    pub(super) fn run_sandbox(&mut self, config: v1::PodSandboxConfig, handler: String) -> String {
        let (id, number) = self.fresh("5a4d");
        let ip = format!("10.244.{}.{}", (number >> 8) & 0xff, number & 0xff);
        let sandbox = Sandbox { id: id.clone(), config, ready: true, created_at: now(), ip, handler };
        self.sandboxes.insert(id.clone(), sandbox);
        id
    }

    pub(super) fn stop_sandbox(&mut self, id: &str) -> Vec<ContainerEventResponse> {
        let running: Vec<String> =
            self.containers_of(id).filter(|c| c.running()).map(|c| c.id.clone()).collect();
        let mut events: Vec<_> = running.iter().filter_map(|container| self.exit(container, 137)).collect();
        if let Some(sandbox) = self.sandboxes.get_mut(id)
            && std::mem::take(&mut sandbox.ready)
        {
            events.extend(self.event(id, id, ContainerEventType::ContainerStoppedEvent));
        }
        events
    }

    pub(super) fn create(&mut self, sandbox: &str, config: v1::ContainerConfig) -> Result<String, Status> {
        if !self.sandboxes.get(sandbox).is_some_and(|sandbox| sandbox.ready) {
            return Err(Status::not_found(format!("sandbox {sandbox:?} is not running")));
        }
        let name = config.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        let Some(image) = self.image(&name) else {
            return Err(Status::not_found(format!("image {name:?} not found")));
        };
        let image_ref = image.repo_digests.first().unwrap_or(&image.id).clone();
        let log_path = self.log_path(sandbox, &config);
        let (id, order) = self.fresh("c047");
        let container = Container {
            id: id.clone(),
            sandbox: sandbox.to_owned(),
            config,
            order,
            state: ContainerState::ContainerCreated,
            image_ref,
            log_path,
            created_at: now(),
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
        };
        self.containers.insert(id.clone(), container);
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &str) -> Result<Vec<ContainerEventResponse>, Status> {
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        if container.state != ContainerState::ContainerCreated {
            return Err(Status::failed_precondition("the container is not in the created state"));
        }
        container.state = ContainerState::ContainerRunning;
        container.started_at = now();
        let (sandbox, program) = (container.sandbox.clone(), container.program());
        self.write_log(id, program.as_ref().map_or("", |(_, text)| text));
        let mut events: Vec<_> =
            self.event(id, &sandbox, ContainerEventType::ContainerStartedEvent).into_iter().collect();
        if let Some((code, _)) = program {
            events.extend(self.exit(id, code));
        }
        Ok(events)
    }

    pub(super) fn exit(&mut self, id: &str, exit_code: i32) -> Option<ContainerEventResponse> {
        let container = self.containers.get_mut(id).filter(|container| container.running())?;
        container.state = ContainerState::ContainerExited;
        container.exit_code = exit_code;
        container.finished_at = now();
        let sandbox = container.sandbox.clone();
        self.event(id, &sandbox, ContainerEventType::ContainerStoppedEvent)
    }

    pub(super) fn remove_container(&mut self, id: &str) -> Vec<ContainerEventResponse> {
        let mut events: Vec<_> = self.exit(id, 137).into_iter().collect();
        if let Some(container) = self.containers.remove(id) {
            events.extend(self.event(id, &container.sandbox, ContainerEventType::ContainerDeletedEvent));
        }
        events
    }

    pub(super) fn containers_of<'a>(&'a self, sandbox: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.values().filter(move |container| container.sandbox == sandbox)
    }

    pub(super) fn event(
        &self,
        id: &str,
        sandbox: &str,
        kind: ContainerEventType,
    ) -> Option<ContainerEventResponse> {
        let pod = self.sandboxes.get(sandbox)?;
        Some(ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at: now(),
            pod_sandbox_status: Some(pod.status()),
            containers_statuses: self.containers_of(sandbox).map(Container::status).collect(),
        })
    }

    fn log_path(&self, sandbox: &str, config: &v1::ContainerConfig) -> String {
        let directory = self.sandboxes.get(sandbox).map_or("", |sandbox| &sandbox.config.log_directory);
        if directory.is_empty() || config.log_path.is_empty() {
            return String::new();
        }
        std::path::Path::new(directory).join(&config.log_path).display().to_string()
    }

    fn write_log(&self, id: &str, text: &str) {
        let path =
            self.containers.get(id).map(|container| &container.log_path).filter(|path| !path.is_empty());
        let Some(path) = path.map(std::path::Path::new) else { return };
        let lines: String =
            text.lines().map(|line| format!("2026-01-02T03:04:05.000000006Z stdout F {line}\n")).collect();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a test's log directory can be made");
        }
        std::fs::write(path, lines).expect("a test's log can be written");
    }
}

impl Sandbox {
    fn state(&self) -> i32 {
        if self.ready { PodSandboxState::SandboxReady } else { PodSandboxState::SandboxNotready }.into()
    }

    pub(super) fn status(&self) -> v1::PodSandboxStatus {
        let linux = self.config.linux.clone().unwrap_or_default();
        let options = linux.security_context.unwrap_or_default().namespace_options;
        let host = options.as_ref().is_some_and(|o| o.network == v1::NamespaceMode::Node as i32);
        let ip = if host || !self.ready { String::new() } else { self.ip.clone() };
        v1::PodSandboxStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state(),
            created_at: self.created_at,
            network: Some(v1::PodSandboxNetworkStatus { ip, additional_ips: Vec::new() }),
            linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options }) }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }

    pub(super) fn summary(&self) -> v1::PodSandbox {
        v1::PodSandbox {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.handler.clone(),
        }
    }
}

impl Container {
    pub(super) fn metadata(&self) -> ContainerMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }

    pub(super) fn running(&self) -> bool {
        self.state == ContainerState::ContainerRunning
    }

    fn program(&self) -> Option<(i32, String)> {
        let words: Vec<String> = self.config.command.iter().chain(&self.config.args).cloned().collect();
        exit_of(&words)
    }

    pub(super) fn status(&self) -> v1::ContainerStatus {
        let reason = match (self.state, self.exit_code) {
            (ContainerState::ContainerExited, 0) => "Completed",
            (ContainerState::ContainerExited, _) => "Error",
            _ => "",
        };
        v1::ContainerStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            exit_code: self.exit_code,
            image: self.config.image.clone(),
            image_ref: self.image_ref.clone(),
            reason: reason.to_owned(),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            mounts: self.config.mounts.clone(),
            log_path: self.log_path.clone(),
            ..Default::default()
        }
    }

    pub(super) fn summary(&self) -> v1::Container {
        v1::Container {
            id: self.id.clone(),
            pod_sandbox_id: self.sandbox.clone(),
            metadata: self.config.metadata.clone(),
            image: self.config.image.clone(),
            image_ref: self.image_ref.clone(),
            state: self.state.into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            ..Default::default()
        }
    }
}

/// What `exit CODE [TEXT]` means.
pub(super) fn exit_of(words: &[String]) -> Option<(i32, String)> {
    let (first, rest) = words.split_first()?;
    let code = rest.first().and_then(|code| code.parse().ok()).unwrap_or(0);
    (first == "exit").then(|| (code, rest.get(1).cloned().unwrap_or_default()))
}

pub(super) fn not_found(what: &str, id: &str) -> Status {
    Status::not_found(format!("an error occurred when try to find {what} {id:?}: not found"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
