//! kube-proxy: makes the addresses of Services lead to their endpoints.
//!
//! The way of the data: informers of Services and EndpointSlices → [`services`] (what each Service wants, pure) →
//! [`compile`] (the elements of the packet filter's maps, and what changed, pure) → [`nft`] (one netlink transaction).
//! There is no chain per Service: see `nft` for the ruleset. Knows nothing of how pods get their addresses.

mod compile;
mod health;
mod nft;
mod services;
mod sync;

use std::net::{Ipv4Addr, SocketAddr};

use oarlock_base::{Cidr, Shutdown};

pub use sync::run;

/// What kube-proxy needs to know.
pub struct Config {
    pub client: kube::Client,
    pub node_name: String,
    pub node_ip: Ipv4Addr,
    /// Traffic to a cluster address from outside this range is masqueraded.
    pub cluster_cidr: Cidr,
    /// Where cluster addresses come from; unclaimed traffic to it is rejected.
    pub service_cidr: Cidr,
    /// `/healthz`, `/livez` and `/metrics`; `None` serves nothing.
    pub health_address: Option<SocketAddr>,
    /// Told once, when the rules of all Services that existed at the start are in the kernel.
    pub ready: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Why kube-proxy cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{tried}")]
    Netlink {
        tried: &'static str,
        #[source]
        source: nlink::Error,
    },
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("kube-proxy's tasks")]
    Task(#[from] oarlock_base::TaskError),
}

/// Takes every rule of ours out of the kernel (`oarlock down`, and the end of `oarlock up`).
pub async fn cleanup() -> Result<(), ProxyError> {
    nft::remove().await
}

/// Runs until told to stop and takes the rules away, for a node that goes down with its pods.
pub async fn run_and_clean(config: Config, shutdown: Shutdown) -> Result<(), ProxyError> {
    let ran = run(config, shutdown).await;
    cleanup().await?;
    ran
}
