//! The runtime itself: pods and containers, their state in memory and on disk, and what changes it.

mod containers;
mod convert;
mod events;
mod exec;
mod pods;
mod record;
mod recover;
mod service;
mod signal;
mod stats;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use oarlock_base::TaskSpawner;
use oarlock_cri::v1::ContainerEventResponse;
use oarlock_cri::{Code, Status};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::broadcast;
use tracing::warn;

use crate::Config;
use crate::images::{ImageError, ImageStore};
use crate::oci::capabilities::Set;
use crate::sandbox::client::ShimError;
use crate::sandbox::cni::{Cni, CniError};
use crate::sandbox::launch::LaunchError;
use record::{Container, Pod};

pub(crate) use exec::{Attached, pipe_pair, stdin_pair};
pub(crate) use service::Service;

/// Events that a slow listener may fall behind before it loses some; the kubelet then lists anew.
const EVENTS_BEHIND_MAX: usize = 1024;

/// Why a call on pods or containers failed.
#[derive(Debug, Error)]
pub(crate) enum RuntimeError {
    #[error("an error occurred when try to find {kind} {id:?}: not found")]
    NotFound { kind: &'static str, id: String },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    State(String),
    #[error("failed to reserve {kind} name {name:?}: name {name:?} is reserved for {holder:?}")]
    Reserved { kind: &'static str, name: String, holder: String },
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to setup network for sandbox {id:?}")]
    Network {
        id: String,
        #[source]
        source: CniError,
    },
    #[error("failed to start sandbox {id:?}")]
    Launch {
        id: String,
        #[source]
        source: LaunchError,
    },
    #[error("{what}")]
    Shim {
        what: String,
        #[source]
        source: ShimError,
    },
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("{0}")]
    Deadline(String),
}

impl RuntimeError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn shim(what: impl Into<String>) -> impl FnOnce(ShimError) -> Self {
        let what = what.into();
        move |source| Self::Shim { what, source }
    }

    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } | Self::Image(ImageError::NotFound(_)) => Code::NotFound,
            Self::Invalid(_) | Self::Image(ImageError::Reference { .. }) => Code::InvalidArgument,
            Self::State(_) => Code::FailedPrecondition,
            Self::Deadline(_) => Code::DeadlineExceeded,
            _ => Code::Unknown,
        }
    }
}

impl From<RuntimeError> for Status {
    fn from(error: RuntimeError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

/// An error and its causes on one line, as gRPC carries it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// All pods and containers. Names are how the kubelet retries: one name, one thing.
#[derive(Default)]
struct State {
    pods: HashMap<String, Arc<Pod>>,
    containers: HashMap<String, Arc<Container>>,
    names: HashMap<String, String>,
}

/// The runtime of one node.
pub(crate) struct Runtime {
    pub(crate) config: Config,
    pub(crate) images: Arc<ImageStore>,
    cni: Cni,
    state: Mutex<State>,
    events: broadcast::Sender<ContainerEventResponse>,
    pub(crate) tasks: TaskSpawner,
    possible: Set,
    swap_accounted: bool,
    boot: String,
    pub(crate) streaming: crate::streaming::Tokens,
}

impl Runtime {
    pub(crate) fn new(
        config: Config,
        images: Arc<ImageStore>,
        tasks: TaskSpawner,
        streaming: crate::streaming::Tokens,
    ) -> Arc<Self> {
        Arc::new(Self {
            cni: Cni { conf_dir: config.cni_conf_dir.clone(), bin_dirs: config.cni_bin_dirs.clone() },
            config,
            images,
            state: Mutex::default(),
            events: broadcast::channel(EVENTS_BEHIND_MAX).0,
            tasks,
            possible: Set::possible(),
            swap_accounted: crate::cgroup::swap_accounted(),
            boot: crate::disk::boot_id(),
            streaming,
        })
    }

    /// The pod with this id, or with the only id that begins so.
    fn pod(&self, id: &str) -> Result<Arc<Pod>, RuntimeError> {
        let state = self.state.lock();
        let found = by_prefix(&state.pods, id);
        found.ok_or_else(|| RuntimeError::NotFound { kind: "sandbox", id: id.to_string() })
    }

    /// The container with this id, or with the only id that begins so.
    fn container(&self, id: &str) -> Result<Arc<Container>, RuntimeError> {
        let state = self.state.lock();
        let found = by_prefix(&state.containers, id);
        found.ok_or_else(|| RuntimeError::NotFound { kind: "container", id: id.to_string() })
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        self.state.lock().pods.values().cloned().collect()
    }

    fn containers(&self) -> Vec<Arc<Container>> {
        self.state.lock().containers.values().cloned().collect()
    }

    fn containers_of(&self, pod: &str) -> Vec<Arc<Container>> {
        let state = self.state.lock();
        let mut found: Vec<_> = state.containers.values().filter(|c| c.record.pod == pod).cloned().collect();
        found.sort_by_key(|container| container.record.created_at);
        found
    }

    fn reserve(&self, kind: &'static str, name: &str, id: &str) -> Result<(), RuntimeError> {
        let mut state = self.state.lock();
        match state.names.get(name) {
            Some(holder) => {
                Err(RuntimeError::Reserved { kind, name: name.to_string(), holder: holder.clone() })
            }
            None => {
                state.names.insert(name.to_string(), id.to_string());
                Ok(())
            }
        }
    }

    fn release(&self, id: &str) {
        self.state.lock().names.retain(|_, holder| holder != id);
    }

    /// Layers that containers stand on.
    pub(crate) fn layers_in_use(&self) -> HashSet<String> {
        let state = self.state.lock();
        state.containers.values().flat_map(|container| container.record.layers.iter().cloned()).collect()
    }

    fn pod_dir(&self, id: &str) -> PathBuf {
        self.config.root_dir.join("sandboxes").join(id)
    }

    fn container_dir(&self, id: &str) -> PathBuf {
        self.config.root_dir.join("containers").join(id)
    }

    /// The pod's directory under the run directory, where its shim lives.
    fn shim_dir(&self, id: &str) -> PathBuf {
        // Half of the id: enough to be unique, and paths stay short.
        self.config.run_dir.join("s").join(&id[..32.min(id.len())])
    }

    /// Runs `work` to its end even if the caller goes away: what is half made cannot be used or removed.
    pub(crate) async fn owned<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
    ) -> Result<T, Status> {
        self.owned_or_undone(name, work, |_| std::future::ready(Ok(()))).await
    }

    /// As [`owned`](Self::owned); what was made for a caller who has gone meanwhile is undone, for nobody knows of it.
    pub(crate) async fn owned_or_undone<T: Send + 'static, U>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
        undo: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<T, Status>
    where
        U: Future<Output = Result<(), RuntimeError>> + Send,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.tasks.spawn(name, async move {
            if let Err(Ok(made)) = sender.send(work.await)
                && let Err(error) = undo(made).await
            {
                warn!(name, error = chain(&error), "what a caller has left behind is not undone");
            }
        });
        match receiver.await {
            Ok(result) => result.map_err(Status::from),
            Err(_) => Err(Status::internal(format!("{name} panicked"))),
        }
    }
}

fn by_prefix<T>(all: &HashMap<String, Arc<T>>, id: &str) -> Option<Arc<T>> {
    if let Some(found) = all.get(id) {
        return Some(found.clone());
    }
    if id.is_empty() || id.len() >= 64 {
        return None;
    }
    let mut matching = all.iter().filter(|(known, _)| known.starts_with(id));
    match (matching.next(), matching.next()) {
        (Some((_, found)), None) => Some(found.clone()),
        _ => None,
    }
}
