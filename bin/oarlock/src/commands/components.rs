//! Each component alone, under its upstream name.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use oarlock_base::Shutdown;
use oarlock_client::LeaderElection;

use crate::cli::{
    ClientArguments, ControllerArguments, DnsArguments, KubeletArguments, ProxyArguments, RuntimeArguments,
};
use crate::layout::Layout;
use crate::node::{NodeName, Runtime};
use crate::preflight;

/// A client from the text of a kubeconfig.
pub(crate) async fn client_of(kubeconfig: &str) -> Result<kube::Client> {
    let config = Kubeconfig::from_yaml(kubeconfig).context("read the kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn client(path: &Path) -> Result<kube::Client> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    client_of(&text).await.with_context(|| format!("use {}", path.display()))
}

fn election(arguments: &ClientArguments, name: &str) -> Result<Option<LeaderElection>> {
    let identity = format!("{}_{}", preflight::host_name()?, std::process::id());
    Ok(arguments.leader_elect.then(|| LeaderElection::new("kube-system", name, &identity)))
}

pub(crate) async fn scheduler(arguments: ClientArguments, stop: Shutdown) -> Result<()> {
    let mut config = oarlock_scheduler::Config::new(client(&arguments.kubeconfig).await?);
    config.leader_election = election(&arguments, "kube-scheduler")?;
    Ok(oarlock_scheduler::run(config, stop).await?)
}

/// All controllers act as the user of the kubeconfig.
pub(crate) async fn controllers(arguments: ControllerArguments, stop: Shutdown) -> Result<()> {
    let shared = client(&arguments.client.kubeconfig).await?;
    let root_ca = std::fs::read_to_string(&arguments.root_ca_file)
        .with_context(|| format!("read {}", arguments.root_ca_file.display()))?;
    let config = oarlock_controllers::Config {
        cluster_cidr: Some(arguments.cluster_cidr),
        controllers: oarlock_controllers::Selection::parse(&arguments.controllers)?,
        leader_election: election(&arguments.client, "kube-controller-manager")?,
        ..oarlock_controllers::Config::new(Arc::new(move |_user: &str| shared.clone()), root_ca)
    };
    Ok(oarlock_controllers::run(config, stop).await?)
}

pub(crate) async fn kubelet(arguments: KubeletArguments, stop: Shutdown) -> Result<()> {
    let node = NodeName::of(&arguments.node)?;
    let endpoint = arguments
        .node
        .container_runtime_endpoint
        .as_deref()
        .context("the kubelet alone needs --container-runtime-endpoint")?;
    let client = client(&arguments.kubeconfig).await?;
    let ip = IpAddr::from(node.ip);
    let mut config =
        oarlock_kubelet::Config::new(&node.name, ip, client, endpoint, arguments.root_dir.clone());
    let files = (&arguments.tls_cert_file, &arguments.tls_private_key_file, &arguments.client_ca_file);
    if let (Some(cert), Some(key), Some(ca)) = files {
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
        config.server = Some(oarlock_kubelet::ServerConfig {
            port: arguments.node.kubelet_port,
            bind: IpAddr::from([0, 0, 0, 0]),
            cert_pem: read(cert)?,
            key_pem: read(key)?,
            client_ca_pem: read(ca)?,
        });
    }
    config.cluster_dns = arguments.cluster_dns;
    config.cluster_domain = arguments.cluster_domain;
    config.static_pod_path = arguments.pod_manifest_path;
    config.cgroup_root = Some("/".into());
    Ok(oarlock_kubelet::run(config, stop).await?)
}

pub(crate) async fn proxy(arguments: ProxyArguments, stop: Shutdown) -> Result<()> {
    let node_name = match arguments.hostname_override {
        Some(name) => name,
        None => preflight::host_name()?,
    };
    let node_ip = match arguments.node_ip {
        Some(ip) => ip,
        None => preflight::own_address()?,
    };
    let config = oarlock_proxy::Config {
        client: client(&arguments.client.kubeconfig).await?,
        node_name,
        node_ip,
        cluster_cidr: arguments.cluster_cidr,
        service_cidr: arguments.service_cidr,
        health_address: Some(arguments.healthz_bind_address),
        ready: None,
    };
    Ok(oarlock_proxy::run(config, stop).await?)
}

pub(crate) async fn runtime(arguments: RuntimeArguments, stop: Shutdown) -> Result<()> {
    let layout = Layout::new(&arguments.place.data_dir);
    let mut runtime = Runtime::built_in(&layout, &arguments.insecure_registries).await?;
    println!("ready at {}", runtime.endpoint);
    let ended = tokio::select! {
        () = stop.wait() => Ok(()),
        failed = runtime.failed() => failed,
    };
    let stopped = runtime.stop().await;
    ended.and(stopped)
}

pub(crate) async fn dns(arguments: DnsArguments, stop: Shutdown) -> Result<()> {
    let client = match &arguments.kubeconfig {
        Some(path) => client(path).await?,
        None => {
            let config = kube::Config::incluster().context("no --kubeconfig, and not in a pod")?;
            kube::Client::try_from(config)?
        }
    };
    let resolv_conf = std::fs::read_to_string(&arguments.resolv_conf).unwrap_or_default();
    let config = oarlock_dns::Config {
        client,
        cluster_domain: arguments.cluster_domain,
        address: arguments.address,
        upstreams: upstreams(&resolv_conf, arguments.address),
        health_address: Some(arguments.health_address),
    };
    Ok(oarlock_dns::run(config, stop).await?)
}

fn upstreams(resolv_conf: &str, own: SocketAddr) -> Vec<SocketAddr> {
    oarlock_dns::upstreams_of(resolv_conf, own.ip())
}
