//! The node of this process: runtime, network, kube-proxy, kubelet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use oarlock_base::{Shutdown, Tasks};
use oarlock_pki::Identity;
use tokio::sync::{oneshot, watch};

use crate::layout::Layout;
use crate::preflight;
use crate::settings::{Common, NodeFlags};

/// Cluster DNS stands at this place of the service range.
const DNS_INDEX: u64 = 10;
/// A container that is asked to end with its node gets so long, whatever its pod says.
const GRACE_SECONDS_MAX: i64 = 10;

/// Who and where this node is.
#[derive(Clone)]
pub(crate) struct NodeName {
    pub name: String,
    pub ip: Ipv4Addr,
}

impl NodeName {
    pub(crate) fn of(flags: &NodeFlags) -> Result<Self> {
        let name = match &flags.node_name {
            Some(name) => name.to_lowercase(),
            None => preflight::host_name()?,
        };
        let ip = match flags.node_ip {
            Some(ip) => ip,
            None => preflight::own_address()?,
        };
        Ok(Self { name, ip })
    }
}

/// What the node's parts ask the API with, and the kubelet serves with.
pub(crate) struct NodeAccess {
    pub kubelet: kube::Client,
    /// kube-proxy and the network plugin.
    pub proxy: kube::Client,
    pub serving: Identity,
    pub client_ca_pem: String,
}

/// The container runtime of this node: ours, until it is told to stop, or somebody else's.
pub(crate) struct Runtime {
    pub endpoint: String,
    tasks: Option<Tasks>,
    stop: Shutdown,
}

impl Runtime {
    pub(crate) async fn start(layout: &Layout, flags: &NodeFlags) -> Result<Self> {
        match &flags.container_runtime_endpoint {
            Some(endpoint) => Ok(Self { endpoint: endpoint.clone(), tasks: None, stop: Shutdown::new() }),
            None => Self::built_in(layout, &flags.insecure_registries).await,
        }
    }

    pub(crate) async fn built_in(layout: &Layout, insecure_registries: &[String]) -> Result<Self> {
        let socket = layout.runtime_socket();
        let config = oarlock_runtime::Config {
            socket: socket.clone(),
            cni_conf_dir: layout.cni_conf(),
            cni_bin_dirs: vec![layout.cni_bin(), PathBuf::from("/opt/cni/bin")],
            self_image: Some(oarlock_base::IMAGE_TAG.to_string()),
            cgroup_root: cgroup_root(layout),
            registries: oarlock_runtime::images::Registries {
                insecure: insecure_registries.to_vec(),
                ..Default::default()
            },
            ..oarlock_runtime::Config::new(&layout.runtime(), &layout.runtime_run())
        };
        let stop = Shutdown::new();
        let mut tasks = Tasks::new("runtime", &stop);
        let (told, ready) = oneshot::channel();
        tasks.spawn("runtime", |stop| oarlock_runtime::run(config, told, stop));
        tokio::select! {
            waited = ready => if waited.is_err() { tasks.failed().await?; },
            failed = tasks.failed() => failed?,
        }
        Ok(Self { endpoint: format!("unix://{}", socket.display()), tasks: Some(tasks), stop })
    }

    pub(crate) async fn failed(&mut self) -> Result<()> {
        match &mut self.tasks {
            Some(tasks) => tasks.failed().await.map_err(Into::into),
            None => std::future::pending().await,
        }
    }

    /// Leaves the containers running.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.trigger();
        match self.tasks {
            Some(tasks) => tasks.join().await.map_err(Into::into),
            None => Ok(()),
        }
    }
}

/// A node at work.
pub(crate) struct Node {
    tasks: Tasks,
    stop: Shutdown,
    ready: watch::Receiver<bool>,
}

impl Node {
    pub(crate) fn start(
        layout: &Layout,
        common: &Common,
        flags: &NodeFlags,
        node: &NodeName,
        access: NodeAccess,
        runtime: &str,
    ) -> Result<Self> {
        let stop = Shutdown::new();
        let mut tasks = Tasks::new("node", &stop);
        let manifests = layout.static_pods();
        std::fs::create_dir_all(&manifests).with_context(|| format!("make {}", manifests.display()))?;
        let network = network_config(layout, common, node, access.proxy.clone())?;
        tasks.spawn("network", |stop| oarlock_network::run(network, stop));
        let proxy = oarlock_proxy::Config {
            client: access.proxy.clone(),
            node_name: node.name.clone(),
            node_ip: node.ip,
            cluster_cidr: common.cluster_cidr,
            service_cidr: common.service_cidr.v4,
            health_address: (flags.proxy_health_port != 0)
                .then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), flags.proxy_health_port)),
            ready: None,
        };
        tasks.spawn("kube-proxy", |stop| oarlock_proxy::run(proxy, stop));
        let (told, ready) = watch::channel(false);
        let kubelet = kubelet_config(layout, common, flags, node, access, runtime, told)?;
        tasks.spawn("kubelet", |stop| oarlock_kubelet::run(kubelet, stop));
        Ok(Self { tasks, stop, ready })
    }

    /// Returns when the Node has been registered as ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let Self { tasks, ready, .. } = self;
        tokio::select! {
            waited = ready.wait_for(|ready| *ready) => waited.map(|_| ()).context("the kubelet ended while it started"),
            failed = tasks.failed() => failed.map_err(Into::into),
        }
    }

    pub(crate) async fn failed(&mut self) -> Result<()> {
        self.tasks.failed().await.map_err(Into::into)
    }

    /// Leaves pods, rules and routes as they are.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.trigger();
        self.tasks.join().await.map_err(Into::into)
    }
}

/// Ends and removes every pod that the runtime knows, all at once, and undoes what the node did to the network.
pub(crate) async fn take_pods_down(layout: &Layout, endpoint: &str) -> Result<()> {
    oarlock_kubelet::take_down(endpoint, GRACE_SECONDS_MAX).await?;
    clean_network(layout).await
}

pub(crate) async fn clean_network(layout: &Layout) -> Result<()> {
    oarlock_proxy::cleanup().await?;
    oarlock_network::cleanup(&layout.cni_conf()).await?;
    Ok(())
}

/// Removes sockets, locks, mounts and control groups of this boot, once nothing runs any more. The runtime mounts its directory on itself.
pub(crate) fn remove_run(layout: &Layout) -> Result<()> {
    use nix::errno::Errno;
    remove_cgroups(layout);
    match nix::mount::umount2(&layout.runtime_run(), nix::mount::MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(e) => return Err(e).with_context(|| format!("unmount {}", layout.runtime_run().display())),
    }
    match std::fs::remove_dir_all(layout.run()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("remove {}", layout.run().display()))
        }
        _ => Ok(()),
    }
}

/// Removes the empty control groups of this node, in every hierarchy. One that still holds a process stays, and is told.
fn remove_cgroups(layout: &Layout) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let hierarchies = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then_some(path)
    });
    for hierarchy in hierarchies {
        let top = format!("{hierarchy}{}", cgroup_root(layout));
        if let Err(e) = remove_cgroup(std::path::Path::new(&top)) {
            tracing::warn!(cgroup = top, error = %e, "a control group stays");
        }
    }
}

/// Control groups have no files of their own to remove: only the directories, innermost first.
fn remove_cgroup(path: &std::path::Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    std::fs::remove_dir(path)
}

/// One per node where several share a machine.
fn cgroup_root(layout: &Layout) -> String {
    format!("/oarlock-{}", layout.tag())
}

fn network_config(
    layout: &Layout,
    common: &Common,
    node: &NodeName,
    client: kube::Client,
) -> Result<oarlock_network::Config> {
    Ok(oarlock_network::Config {
        client,
        node_name: node.name.clone(),
        node_ip: node.ip,
        cluster_cidr: common.cluster_cidr,
        cni_conf_dir: layout.cni_conf(),
        cni_bin_dir: layout.cni_bin(),
        state_dir: layout.cni_state(),
        executable: std::env::current_exe().context("find the running binary")?,
        mtu: 1500,
        pod_cidr: None,
    })
}

fn kubelet_config(
    layout: &Layout,
    common: &Common,
    flags: &NodeFlags,
    node: &NodeName,
    access: NodeAccess,
    runtime: &str,
    ready: watch::Sender<bool>,
) -> Result<oarlock_kubelet::Config> {
    let ip = IpAddr::from(node.ip);
    let mut config = oarlock_kubelet::Config::new(&node.name, ip, access.kubelet, runtime, layout.kubelet());
    config.pod_logs_dir = layout.pod_logs();
    config.server = Some(oarlock_kubelet::ServerConfig {
        port: flags.kubelet_port,
        bind: IpAddr::from(Ipv4Addr::UNSPECIFIED),
        cert_pem: access.serving.cert_pem,
        key_pem: access.serving.key_pem,
        client_ca_pem: access.client_ca_pem,
    });
    config.cluster_dns = common.service_cidr.v4.nth(DNS_INDEX).into_iter().map(IpAddr::from).collect();
    config.cluster_domain = common.cluster_domain.clone();
    config.cgroup_root = Some(cgroup_root(layout));
    config.labels = labels(&flags.node_labels)?;
    config.static_pod_path = Some(layout.static_pods());
    config.ready = Some(ready);
    config.version = oarlock_base::VERSION.to_string();
    Ok(config)
}

fn labels(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_string(), value.to_string())),
            None => bail!("--node-labels: {pair:?} is not of the form key=value"),
        })
        .collect()
}

/// The address of cluster DNS.
pub(crate) fn dns_address(common: &Common) -> Result<IpAddr> {
    common.service_cidr.v4.nth(DNS_INDEX).map(IpAddr::from).context("the service range has no tenth address")
}
