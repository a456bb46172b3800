//! What the kubelet is told: plain data, made by the binary from flags and files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Taint;
use tokio::sync::watch;

/// Everything that the node agent is told.
#[derive(Clone)]
pub struct Config {
    pub node_name: String,
    pub node_ip: IpAddr,
    pub client: kube::Client,
    /// The CRI socket, with or without `unix://`.
    pub cri_endpoint: String,
    /// Volumes and pod directories; upstream's `/var/lib/kubelet`.
    pub root_dir: PathBuf,
    /// Container logs; upstream's `/var/log/pods`.
    pub pod_logs_dir: PathBuf,
    /// The HTTPS server; without it the node serves no logs and no exec.
    pub server: Option<ServerConfig>,
    /// Name servers of pods with `ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The node's resolver configuration, for `Default` pods and what `ClusterFirst` adds. Empty: none.
    pub resolv_conf: PathBuf,
    /// The cgroup under which `kubepods` stands, `/` upstream; one per node where several share a machine. Pod cgroups are
    /// neither made nor named when this is `None`.
    pub cgroup_root: Option<String>,
    pub max_pods: u32,
    /// Labels and taints that the node registers with.
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// A directory of static pod manifests.
    pub static_pod_path: Option<PathBuf>,
    /// Resources kept back from pods: `cpu`, `memory`, `ephemeral-storage`.
    pub reserved: BTreeMap<String, String>,
    /// `providerID` of the node, where a cloud has one.
    pub provider_id: Option<String>,
    /// Told `true` when the node has been registered as ready, and each time that changes.
    pub ready: Option<watch::Sender<bool>>,
    /// The version that the node reports.
    pub version: String,
}

/// Where and as whom the kubelet serves.
#[derive(Clone)]
pub struct ServerConfig {
    /// 0 takes any free port; the node object tells which.
    pub port: u16,
    pub bind: IpAddr,
    pub cert_pem: String,
    pub key_pem: String,
    /// Clients prove themselves with certificates of this authority.
    pub client_ca_pem: String,
}

impl Config {
    /// A node with upstream's defaults and nothing optional.
    pub fn new(
        node_name: &str,
        node_ip: IpAddr,
        client: kube::Client,
        cri_endpoint: &str,
        data: PathBuf,
    ) -> Self {
        Self {
            node_name: node_name.to_lowercase(),
            node_ip,
            client,
            cri_endpoint: cri_endpoint.to_owned(),
            root_dir: data.clone(),
            pod_logs_dir: data.join("logs"),
            server: None,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            cgroup_root: None,
            max_pods: 110,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            static_pod_path: None,
            reserved: BTreeMap::new(),
            provider_id: None,
            ready: None,
            version: "v1.36.0".into(),
        }
    }
}
