//! The network plugin: gives every pod an address and a way to every other.
//!
//! Two halves meet in a CNI configuration. [`run`] is the node's half: it learns the node's pod range, prepares the kernel,
//! writes the configuration and keeps the routes to other nodes. [`cni_main`] is the pod's half: the same binary,
//! started by the container runtime once per pod under the name `oarlock-cni`.
//!
//! Pods are routed, not bridged: each has a /32 on a veth whose other end is a route on the node. So Service translation
//! sees every packet in the node's IP stack, with no bridge filter and no hairpin port. Knows nothing of Services.

mod cni;
mod nft;
mod node;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use oarlock_base::Cidr;

pub use cni::{cni_main, loopback_main};
pub use node::{cleanup, run};

/// The name under which the runtime starts this binary as a CNI plugin.
pub const PLUGIN: &str = "oarlock-cni";
/// The standard plugin that containerd calls first, whatever the configuration says; ours where no other is installed.
pub const LOOPBACK: &str = "loopback";

/// What the node's half needs to know.
pub struct Config {
    pub client: kube::Client,
    pub node_name: String,
    pub node_ip: Ipv4Addr,
    /// Traffic from pods to addresses outside this range leaves under the node's address.
    pub cluster_cidr: Cidr,
    /// Where the CNI configuration is written.
    pub cni_conf_dir: PathBuf,
    /// Where the plugin is found: a link to this binary is put there.
    pub cni_bin_dir: PathBuf,
    /// Which address belongs to which pod.
    pub state_dir: PathBuf,
    /// The binary that the link leads to.
    pub executable: PathBuf,
    pub mtu: u32,
    /// Known already, on a cluster of one process; otherwise the Node object tells.
    pub pod_cidr: Option<Cidr>,
}

/// Why the network cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("{tried}")]
    Netlink {
        tried: &'static str,
        #[source]
        source: nlink::Error,
    },
    #[error("{tried} {path}")]
    File {
        tried: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the network's tasks")]
    Task(#[from] oarlock_base::TaskError),
}
