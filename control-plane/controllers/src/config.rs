//! What the controller manager is told at its start.

use std::sync::Arc;
use std::time::Duration;

use oarlock_base::Cidr;
use oarlock_client::LeaderElection;

use crate::list::Selection;

/// Gives a client for a user name: `system:kube-controller-manager` for the shared watches, and
/// `system:serviceaccount:kube-system:<controller>` for each controller's writes.
pub type ClientFactory = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// The controller manager's configuration.
#[derive(Clone)]
pub struct Config {
    pub clients: ClientFactory,
    /// Which controllers run (`--controllers`).
    pub controllers: Selection,
    /// The range that nodes get their pod ranges from; `None`: nodes get none (`--allocate-node-cidrs=false`).
    pub cluster_cidr: Option<Cidr>,
    /// The length of a node's prefix (`--node-cidr-mask-size`).
    pub node_cidr_mask_size: u8,
    /// The certificates, in PEM, by which pods know the API server; published into every namespace.
    pub root_ca: String,
    pub node_lifecycle: NodeLifecycleConfig,
    /// Terminated pods kept before the oldest are deleted (`--terminated-pod-gc-threshold`); 0 keeps all.
    pub terminated_pod_gc_threshold: usize,
    /// With one, the controllers run only while this process holds the lease.
    pub leader_election: Option<LeaderElection>,
}

impl Config {
    /// Upstream's defaults, for what need not be told.
    pub fn new(clients: ClientFactory, root_ca: String) -> Self {
        Self {
            clients,
            controllers: Selection::default(),
            cluster_cidr: None,
            node_cidr_mask_size: 24,
            root_ca,
            node_lifecycle: NodeLifecycleConfig::default(),
            terminated_pod_gc_threshold: 12_500,
            leader_election: None,
        }
    }
}

/// How long a silent node is trusted.
#[derive(Debug, Clone, Copy)]
pub struct NodeLifecycleConfig {
    /// Silence after which a node's conditions become Unknown (`--node-monitor-grace-period`).
    pub grace_period: Duration,
    /// The same for a node that has never reported (`--node-startup-grace-period`).
    pub startup_grace_period: Duration,
    /// Nodes that may be tainted for eviction per second in a healthy zone (`--node-eviction-rate`).
    pub eviction_rate: f64,
    /// The same in a zone where many nodes fail (`--secondary-node-eviction-rate`).
    pub secondary_eviction_rate: f64,
    /// The share of failed nodes from which a zone counts as disrupted (`--unhealthy-zone-threshold`).
    pub unhealthy_zone_threshold: f64,
    /// Zones of at most this many nodes are not evicted from while disrupted (`--large-cluster-size-threshold`).
    pub large_cluster_size_threshold: usize,
}

impl Default for NodeLifecycleConfig {
    fn default() -> Self {
        Self {
            grace_period: Duration::from_secs(50),
            startup_grace_period: Duration::from_secs(60),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            unhealthy_zone_threshold: 0.55,
            large_cluster_size_threshold: 50,
        }
    }
}
