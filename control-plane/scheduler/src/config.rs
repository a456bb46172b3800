//! What a scheduler is told when it starts.

use kube::Client;
use oarlock_base::TaskError;
use oarlock_client::{LeaderElection, LeaderError};
use oarlock_telemetry::Metrics;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::framework::PluginSet;

/// One scheduler name, and the plugins that schedule the pods which ask for it.
#[derive(Clone)]
pub struct Profile {
    pub scheduler_name: String,
    pub plugins: PluginSet,
}

impl Profile {
    /// Upstream's `default-scheduler`.
    pub fn default_scheduler(client: Client) -> Self {
        Self { scheduler_name: "default-scheduler".into(), plugins: PluginSet::defaults(client) }
    }
}

pub struct Config {
    pub client: Client,
    /// At least one. The first one's QueueSort orders the queue of all.
    pub profiles: Vec<Profile>,
    /// `None`: this is the only scheduler.
    pub leader_election: Option<LeaderElection>,
    /// How many bindings and status writes are under way at once.
    pub writes_max: usize,
    pub metrics: Metrics,
    /// Told when the caches are filled and scheduling begins.
    pub ready: Option<oneshot::Sender<()>>,
}

impl Config {
    /// Upstream's defaults: the default profile, all alone.
    pub fn new(client: Client) -> Self {
        Self {
            profiles: vec![Profile::default_scheduler(client.clone())],
            client,
            leader_election: None,
            writes_max: 64,
            metrics: Metrics::global().clone(),
            ready: None,
        }
    }
}

/// Why a scheduler ended.
#[derive(Debug, Error)]
pub enum SchedulerError {
    #[error("a scheduler needs at least one profile, and room for at least one write")]
    Config,
    #[error("profile with scheduler name {name:?} is given twice")]
    DuplicateProfile { name: String },
    #[error("lead the schedulers")]
    Leader(#[source] LeaderError),
    #[error("run the scheduler")]
    Task(#[from] TaskError),
}
