//! Cluster DNS, by the Kubernetes DNS specification 1.1.0.
//!
//! The way of a query: [`serve`] (UDP and TCP) → [`answer`] (pure: the query and a [`view`] of the cluster) → what the
//! cluster does not know goes to [`forward`]. Records are made from the informers' caches when they are asked for, so a
//! change in the cluster costs nothing here.

mod answer;
mod forward;
mod health;
mod serve;
mod view;

use futures::future::BoxFuture;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use oarlock_base::{Shutdown, Tasks};
use oarlock_client::Informers;

use crate::view::ClusterView;

/// What the server needs to know.
pub struct Config {
    pub client: kube::Client,
    /// Without a dot at its end: `cluster.local`.
    pub cluster_domain: String,
    /// Queries, over UDP and TCP.
    pub address: SocketAddr,
    /// Where queries about the rest of the world go, in this order.
    pub upstreams: Vec<SocketAddr>,
    /// `/health` and `/ready`, as CoreDNS has them; and `/metrics`.
    pub health_address: Option<SocketAddr>,
}

/// Why DNS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{0:?} is not a domain")]
    Domain(String),
    #[error("the tasks of DNS")]
    Task(#[from] oarlock_base::TaskError),
}

/// Answers until told to stop. Queries that come before the cluster is known wait for it.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), DnsError>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(config: Config, shutdown: Shutdown) -> Result<(), DnsError> {
    let mut tasks = Tasks::new("dns", &shutdown);
    let informers = Informers::new(config.client.clone(), tasks.spawner());
    let view = ClusterView::new(
        informers.of::<Namespace>(),
        informers.of::<Service>(),
        informers.of::<EndpointSlice>(),
    );
    informers.start();
    let resolver = serve::Resolver::new(&config, view.clone())?;
    let (address, spawner) = (config.address, tasks.spawner());
    tasks.spawn("serve", move |stop| serve::run(address, resolver, spawner, stop));
    if let Some(address) = config.health_address {
        let spawner = tasks.spawner();
        tasks.spawn("health", move |stop| health::run(address, view, spawner, stop));
    }
    Ok(tasks.join().await?)
}

/// The objects that run this server in a cluster, as YAML documents: `image` holds this program, `address` is the cluster
/// address that pods are told to ask.
pub fn manifest(image: &str, domain: &str, address: std::net::IpAddr) -> String {
    include_str!("../manifest.yaml")
        .replace("{image}", image)
        .replace("{domain}", domain)
        .replace("{address}", &address.to_string())
}

/// The name servers of a resolver configuration, without loops back to `own`.
pub fn upstreams_of(resolv_conf: &str, own: std::net::IpAddr) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse::<std::net::IpAddr>().ok())
        .filter(|ip| *ip != own)
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_never_ourselves() {
        let conf = "# a\nnameserver 10.0.0.2\nsearch x\nnameserver 10.96.0.10\nnameserver nonsense\nnameserver ::1\n";
        let own = "10.96.0.10".parse().expect("an address");
        let found: Vec<String> = upstreams_of(conf, own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2:53", "[::1]:53"]);
    }
}
