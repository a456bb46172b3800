//! What the runtime says of one pod, read through CRI: the other half of what a plan looks at.

use std::collections::{BTreeMap, HashMap};

use oarlock_cri::v1::{
    self, ContainerFilter, ContainerState, ContainerStatus, ListContainersRequest, ListPodSandboxRequest,
    PodSandboxFilter, PodSandboxState, PodSandboxStatus,
};
use oarlock_cri::{CallError, Client};
use parking_lot::Mutex;

use crate::pod::PodUid;

pub(crate) const LABEL_POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const LABEL_POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const LABEL_POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const LABEL_CONTAINER: &str = "io.kubernetes.container.name";
pub(crate) const NOTE_HASH: &str = "io.kubernetes.container.hash";
pub(crate) const NOTE_RESTARTS: &str = "io.kubernetes.container.restartCount";
pub(crate) const NOTE_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub(crate) const NOTE_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
pub(crate) const NOTE_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// One container in the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sandbox: String,
    pub(crate) status: ContainerStatus,
}

impl Seen {
    pub(crate) fn id(&self) -> &str {
        &self.status.id
    }
    pub(crate) fn name(&self) -> &str {
        match self.status.labels.get(LABEL_CONTAINER) {
            Some(name) => name,
            None => self.status.metadata.as_ref().map_or("", |metadata| &metadata.name),
        }
    }
    pub(crate) fn state(&self) -> ContainerState {
        self.status.state()
    }
    pub(crate) fn running(&self) -> bool {
        self.state() == ContainerState::ContainerRunning
    }
    pub(crate) fn exited(&self) -> bool {
        self.state() == ContainerState::ContainerExited
    }
    pub(crate) fn succeeded(&self) -> bool {
        self.exited() && self.status.exit_code == 0
    }
    pub(crate) fn hash(&self) -> &str {
        self.status.annotations.get(NOTE_HASH).map_or("", String::as_str)
    }
    pub(crate) fn restarts(&self) -> i32 {
        self.status.annotations.get(NOTE_RESTARTS).and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

/// All that the runtime holds of a pod; both lists newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) sandboxes: Vec<PodSandboxStatus>,
    pub(crate) containers: Vec<Seen>,
}

impl Observed {
    /// The newest sandbox, if it is ready.
    pub(crate) fn sandbox(&self) -> Option<&PodSandboxStatus> {
        self.sandboxes.first().filter(|sandbox| sandbox.state() == PodSandboxState::SandboxReady)
    }

    /// The newest container of this name, in any sandbox.
    pub(crate) fn newest(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name() == name)
    }

    /// The newest container of this name in the newest sandbox.
    pub(crate) fn current(&self, name: &str) -> Option<&Seen> {
        let sandbox = &self.sandboxes.first()?.id;
        self.containers.iter().find(|seen| seen.name() == name && &seen.sandbox == sandbox)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Seen> {
        self.containers.iter().filter(|seen| seen.running())
    }

    /// The addresses of the newest sandbox, the primary first.
    pub(crate) fn ips(&self) -> Vec<String> {
        let Some(network) = self.sandboxes.first().and_then(|sandbox| sandbox.network.as_ref()) else {
            return Vec::new();
        };
        let additional = network.additional_ips.iter().map(|ip| &ip.ip);
        std::iter::once(&network.ip).chain(additional).filter(|ip| !ip.is_empty()).cloned().collect()
    }
}

/// Reads pods from the runtime; keeps the status of what has exited, which cannot change any more.
pub(crate) struct Observer {
    cri: Client,
    exited: Mutex<HashMap<String, ContainerStatus>>,
}

impl Observer {
    pub(crate) fn new(cri: Client) -> Self {
        Self { cri, exited: Mutex::default() }
    }

    pub(crate) async fn observe(&self, uid: &PodUid) -> Result<Observed, CallError> {
        let label_selector = BTreeMap::from([(LABEL_POD_UID.to_owned(), uid.to_string())]);
        let sandbox_filter =
            PodSandboxFilter { label_selector: label_selector.clone(), ..Default::default() };
        let container_filter = ContainerFilter { label_selector, ..Default::default() };
        let (sandboxes, containers) = tokio::try_join!(
            self.cri.list_pod_sandbox(ListPodSandboxRequest { filter: Some(sandbox_filter) }),
            self.cri.list_containers(ListContainersRequest { filter: Some(container_filter) }),
        )?;
        let sandboxes = sandboxes.items.into_iter().map(|sandbox| self.sandbox_status(sandbox.id));
        let containers = containers.containers.into_iter().map(|container| self.container_status(container));
        let (sandboxes, containers) = tokio::try_join!(
            futures::future::try_join_all(sandboxes),
            futures::future::try_join_all(containers),
        )?;
        let mut sandboxes: Vec<_> = sandboxes.into_iter().flatten().collect();
        let mut containers: Vec<_> = containers.into_iter().flatten().collect();
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        containers.sort_by_key(|seen| std::cmp::Reverse((seen.status.created_at, seen.restarts())));
        Ok(Observed { sandboxes, containers })
    }

    /// Forgets what is known of containers that are gone.
    pub(crate) fn forget(&self, container_id: &str) {
        self.exited.lock().remove(container_id);
    }

    async fn sandbox_status(&self, pod_sandbox_id: String) -> Result<Option<PodSandboxStatus>, CallError> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id, verbose: false };
        match self.cri.pod_sandbox_status(request).await {
            Ok(response) => Ok(response.status),
            // Removed between the list and now.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn container_status(&self, container: v1::Container) -> Result<Option<Seen>, CallError> {
        let sandbox = container.pod_sandbox_id;
        if let Some(status) = self.exited.lock().get(&container.id).cloned() {
            return Ok(Some(Seen { sandbox, status }));
        }
        let request = v1::ContainerStatusRequest { container_id: container.id, verbose: false };
        let status = match self.cri.container_status(request).await {
            Ok(response) => response.status,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let Some(mut status) = status else { return Ok(None) };
        if status.state() == ContainerState::ContainerExited {
            status.message = termination_message(&status).await;
            self.exited.lock().insert(status.id.clone(), status.clone());
        }
        Ok(Some(Seen { sandbox, status }))
    }
}

/// Upstream's bounds on what a container may say when it ends.
const MESSAGE_BYTES_MAX: usize = 4096;
const MESSAGE_LOG_BYTES_MAX: u64 = 2048;
const MESSAGE_LOG_LINES_MAX: usize = 80;

/// What a container left as its last words: the runtime's message and the termination message file, or the end of its log
/// after a failure that left none.
async fn termination_message(status: &ContainerStatus) -> String {
    let annotations = &status.annotations;
    let policy = annotations.get(NOTE_MESSAGE_POLICY).map_or("File", String::as_str);
    let file = annotations.get(NOTE_MESSAGE_PATH).and_then(|path| {
        status.mounts.iter().find(|mount| &mount.container_path == path).map(|mount| mount.host_path.clone())
    });
    let mut words = String::new();
    if let Some(path) = file {
        words = read_start(&path, MESSAGE_BYTES_MAX).await;
    }
    if words.is_empty()
        && policy == "FallbackToLogsOnError"
        && status.exit_code != 0
        && !status.log_path.is_empty()
    {
        words =
            crate::logs::tail(status.log_path.clone().into(), MESSAGE_LOG_LINES_MAX, MESSAGE_LOG_BYTES_MAX)
                .await;
    }
    match (status.message.is_empty(), words.is_empty()) {
        (true, _) => words,
        (false, true) => status.message.clone(),
        (false, false) => format!("{}: {words}", status.message),
    }
}

async fn read_start(path: &str, max: usize) -> String {
    use tokio::io::AsyncReadExt as _;
    let Ok(file) = tokio::fs::File::open(path).await else { return String::new() };
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    if file.take(limit).read_to_end(&mut bytes).await.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
