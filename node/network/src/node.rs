//! The node's half: the kernel's settings, the CNI configuration, and routes to the pods of other nodes.

use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::{Connection, Route};
use oarlock_base::{Cidr, Shutdown, Tasks};
use oarlock_client::{Informer, Informers};
use serde_json::json;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{Config, LOOPBACK, NetworkError, PLUGIN, nft};

const CONF_FILE: &str = "10-oarlock.conflist";

/// Runs until told to stop. What it has set up stays: pods outlive the agent.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), NetworkError>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(config: Config, shutdown: Shutdown) -> Result<(), NetworkError> {
    prepare(&config)?;
    let mut installed = None;
    if let Some(pods) = config.pod_cidr {
        install(&config, pods).await?;
        installed = Some(pods);
    }
    let mut tasks = Tasks::new("network", &shutdown);
    let informers = Informers::new(config.client.clone(), tasks.spawner());
    let nodes = informers.of::<Node>();
    nodes.project(|node| {
        node.status = node.status.take().map(|mut status| {
            status.images = None;
            status.conditions = None;
            status
        });
        node.metadata.managed_fields = None;
    });
    let changed = Arc::new(Notify::new());
    let signal = changed.clone();
    nodes.subscribe(move |_| signal.notify_one());
    informers.start();
    tasks.spawn("routes", move |stop| async move {
        stop.or(follow(&config, &nodes, &changed, installed)).await.unwrap_or(Ok(()))
    });
    Ok(tasks.join().await?)
}

/// Undoes what [`run`] did to the node, for `oarlock down` and the end of `oarlock up`.
pub async fn cleanup(cni_conf_dir: &Path) -> Result<(), NetworkError> {
    remove_file(&cni_conf_dir.join(CONF_FILE))?;
    nft::remove().await.map_err(|source| NetworkError::Netlink { tried: "remove the network rules", source })
}

fn prepare(config: &Config) -> Result<(), NetworkError> {
    write(Path::new("/proc/sys/net/ipv4/ip_forward"), b"1")?;
    for dir in [&config.cni_conf_dir, &config.cni_bin_dir, &config.state_dir] {
        fs::create_dir_all(dir).map_err(file("make the directory", dir))?;
    }
    for name in [PLUGIN, LOOPBACK] {
        let link = config.cni_bin_dir.join(name);
        // Somebody's own plugin is left alone; our link may point to a binary that has moved.
        if name == LOOPBACK && link.is_file() && !link.is_symlink() {
            continue;
        }
        remove_file(&link)?;
        std::os::unix::fs::symlink(&config.executable, &link).map_err(file("link", &link))?;
    }
    Ok(())
}

/// The rules first, the configuration last: the runtime takes its appearance for "the network is ready".
async fn install(config: &Config, pods: Cidr) -> Result<(), NetworkError> {
    nft::install(pods, config.cluster_cidr)
        .await
        .map_err(|source| NetworkError::Netlink { tried: "install the network rules", source })?;
    let conf = json!({
        "cniVersion": "1.0.0",
        "name": "oarlock",
        "plugins": [{
            "type": PLUGIN,
            "podCidr": pods.to_string(),
            "mtu": config.mtu,
            "nodeIp": config.node_ip,
            "stateDir": config.state_dir,
            "capabilities": {"portMappings": true},
        }],
    });
    let path = config.cni_conf_dir.join(CONF_FILE);
    let text = serde_json::to_vec_pretty(&conf).expect("a JSON value always serialises");
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let beside = config.cni_conf_dir.join(format!(".{CONF_FILE}.tmp"));
    write(&beside, &text)?;
    fs::rename(&beside, &path).map_err(file("rename", &path))?;
    info!(%pods, "pod network ready");
    Ok(())
}

async fn follow(
    config: &Config,
    nodes: &Informer<Node>,
    changed: &Notify,
    mut installed: Option<Cidr>,
) -> Result<(), NetworkError> {
    nodes.synced().await;
    let mut routes = BTreeMap::new();
    loop {
        let all = nodes.store().list();
        let own = all.iter().find(|node| node.metadata.name.as_deref() == Some(config.node_name.as_str()));
        if let Some(pods) = own.and_then(|node| pod_cidr(node)).filter(|pods| installed != Some(*pods)) {
            install(config, pods).await?;
            installed = Some(pods);
        }
        let others = all
            .iter()
            .map(AsRef::as_ref)
            .filter(|node| node.metadata.name.as_deref() != Some(&config.node_name));
        let wanted = wanted_routes(others);
        if wanted != routes {
            match program(&routes, &wanted).await {
                Ok(()) => routes = wanted,
                // The next change of a node tries again; a node that is not on this link cannot be helped here.
                Err(e) => warn!(error = %e, "routes to other nodes are not complete"),
            }
        }
        changed.notified().await;
    }
}

fn pod_cidr(node: &Node) -> Option<Cidr> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}

/// The pods of each other node lie behind its internal address. Pure.
fn wanted_routes<'a>(others: impl Iterator<Item = &'a Node>) -> BTreeMap<Cidr, Ipv4Addr> {
    others
        .filter_map(|node| {
            let addresses = node.status.as_ref()?.addresses.as_ref()?;
            let internal = addresses
                .iter()
                .filter(|a| a.type_ == "InternalIP")
                .find_map(|a| a.address.parse::<Ipv4Addr>().ok())?;
            Some((pod_cidr(node)?, internal))
        })
        .collect()
}

async fn program(old: &BTreeMap<Cidr, Ipv4Addr>, new: &BTreeMap<Cidr, Ipv4Addr>) -> nlink::Result<()> {
    let connection = Connection::<Route>::new()?;
    for (pods, via) in old.iter().filter(|(pods, via)| new.get(*pods) != Some(*via)) {
        connection
            .del_route_if_exists(Ipv4Route::from_addr(pods.address(), pods.prefix()).gateway(*via))
            .await?;
    }
    for (pods, via) in new.iter().filter(|(pods, via)| old.get(*pods) != Some(*via)) {
        connection.replace_route(Ipv4Route::from_addr(pods.address(), pods.prefix()).gateway(*via)).await?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), NetworkError> {
    fs::write(path, content).map_err(file("write", path))
}

fn remove_file(path: &Path) -> Result<(), NetworkError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(file("remove", path)(e)),
        _ => Ok(()),
    }
}

fn file(tried: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> NetworkError {
    let path = path.to_path_buf();
    move |source| NetworkError::File { tried, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, pods: Option<&str>, ip: Option<&str>) -> Node {
        let addresses: Vec<_> = ip.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        serde_json::from_value(json!({
            "metadata": {"name": name}, "spec": {"podCIDR": pods}, "status": {"addresses": addresses},
        }))
        .expect("a Node")
    }

    #[test]
    fn a_route_needs_a_range_and_an_address() {
        let nodes = [
            node("b", Some("10.244.1.0/24"), Some("10.0.0.2")),
            node("c", None, Some("10.0.0.3")),
            node("d", Some("10.244.3.0/24"), None),
        ];
        let routes: Vec<String> =
            wanted_routes(nodes.iter()).iter().map(|(pods, via)| format!("{pods} via {via}")).collect();
        assert_eq!(routes, ["10.244.1.0/24 via 10.0.0.2"]);
    }
}
