//! `oarlock agent`: the node, beside a control plane whose keys are in the same data directory. When it stops, its
//! containers go on; the next one finds them.

use anyhow::{Result, bail};
use oarlock_base::Shutdown;
use oarlock_pki::Identity;

use super::lock::RoleLock;
use crate::cli::AgentArguments;
use crate::identities::{ClusterKeys, NODES_GROUP, PROXY};
use crate::layout::Layout;
use crate::node::{Node, NodeAccess, NodeName, Runtime};
use crate::preflight::Preflight;
use crate::steps::Steps;

pub(crate) async fn run(arguments: AgentArguments, stop: Shutdown) -> Result<()> {
    let steps = Steps::begin();
    let layout = Layout::new(&arguments.common.place.data_dir);
    let any = std::net::IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED);
    let mut preflight = Preflight::default();
    preflight.root();
    preflight.port("the kubelet", any, arguments.node.kubelet_port, "--kubelet-port");
    preflight.port("kube-proxy", any, arguments.node.proxy_health_port, "--proxy-health-port");
    preflight.writable(layout.data(), "--data-dir");
    preflight.kernel();
    preflight.ranges(&arguments.common);
    preflight.finish()?;
    if !ClusterKeys::are_there(&layout) {
        bail!(
            "no keys of a cluster in {}: start `oarlock server` with this --data-dir first",
            layout.data().display()
        );
    }
    let _lock = RoleLock::take(&layout, "agent")?;
    let name = NodeName::of(&arguments.node)?;
    let access = access(&ClusterKeys::load_or_create(&layout)?, &name, &arguments.server).await?;
    let mut runtime = Runtime::start(&layout, &arguments.node).await?;
    steps.done("container runtime");
    let started = Node::start(&layout, &arguments.common, &arguments.node, &name, access, &runtime.endpoint);
    let ended = match started {
        Ok(mut node) => {
            let ended = tokio::select! {
                () = stop.wait() => Ok(()),
                ended = work(&mut node, &mut runtime, &name, &steps) => ended,
            };
            let stopped = node.stop().await;
            ended.and(stopped)
        }
        Err(e) => Err(e),
    };
    let stopped = runtime.stop().await;
    ended.and(stopped)
}

async fn work(node: &mut Node, runtime: &mut Runtime, name: &NodeName, steps: &Steps) -> Result<()> {
    node.ready().await?;
    steps.done(&format!("node {} ready", name.name));
    steps.ready();
    tokio::select! {
        failed = node.failed() => failed,
        failed = runtime.failed() => failed,
    }
}

async fn access(keys: &ClusterKeys, name: &NodeName, server: &str) -> Result<NodeAccess> {
    let user = format!("system:node:{}", name.name);
    Ok(NodeAccess {
        kubelet: client(keys, server, &user, &keys.client(&user, NODES_GROUP)?).await?,
        proxy: client(keys, server, PROXY, &keys.client(PROXY, "system:node-proxiers")?).await?,
        serving: keys.kubelet_server(&name.name, name.ip.into())?,
        client_ca_pem: keys.authority.cert_pem().to_string(),
    })
}

async fn client(keys: &ClusterKeys, server: &str, user: &str, identity: &Identity) -> Result<kube::Client> {
    super::components::client_of(&keys.kubeconfig(server, user, identity)).await
}
