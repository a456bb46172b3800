//! `oarlock up`: everything in this process.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use oarlock_base::Shutdown;

use super::lock::RoleLock;
use crate::addons;
use crate::cli::UpArguments;
use crate::control_plane::ControlPlane;
use crate::identities::{NODES_GROUP, PROXY};
use crate::layout::Layout;
use crate::node::{Node, NodeAccess, NodeName, Runtime, dns_address, remove_run, take_pods_down};
use crate::preflight::Preflight;
use crate::steps::Steps;

pub(crate) async fn run(arguments: UpArguments, stop: Shutdown) -> Result<()> {
    let steps = Steps::begin();
    let layout = Layout::new(&arguments.common.place.data_dir);
    check(&arguments, &layout)?;
    let _lock = RoleLock::take(&layout, "up")?;
    let node = NodeName::of(&arguments.node)?;
    let (control_plane, runtime) = tokio::join!(
        ControlPlane::start(&layout, &arguments.common, &arguments.server, &stop),
        Runtime::start(&layout, &arguments.node)
    );
    let mut parts = match (control_plane, runtime) {
        (Ok(control_plane), Ok(runtime)) => Parts { control_plane, runtime, node: None },
        // Nothing half-started.
        (Ok(control_plane), Err(e)) => {
            control_plane.stop().await?;
            return Err(e);
        }
        (Err(e), Ok(runtime)) => {
            runtime.stop().await?;
            return Err(e);
        }
        (Err(e), Err(_)) => return Err(e),
    };
    steps.done(&format!("API server at {}", parts.control_plane.url));
    let ended = tokio::select! {
        () = stop.wait() => Ok(()),
        ended = parts.work(&arguments, &layout, &node, &steps) => ended,
    };
    parts.control_plane.announce_stop();
    if stop.is_triggered() {
        println!("stopping; pods end with it (again to stop at once)");
    }
    let taken_down = parts.stop(&layout).await;
    ended.and(taken_down)
}

fn check(arguments: &UpArguments, layout: &Layout) -> Result<()> {
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let mut preflight = Preflight::default();
    preflight.root();
    preflight.port(
        "the API server",
        arguments.server.bind_address,
        arguments.server.https_port,
        "--https-port",
    );
    preflight.port("the kubelet", any, arguments.node.kubelet_port, "--kubelet-port");
    preflight.port("kube-proxy", any, arguments.node.proxy_health_port, "--proxy-health-port");
    preflight.writable(layout.data(), "--data-dir");
    preflight.kernel();
    preflight.ranges(&arguments.common);
    preflight.finish()
}

struct Parts {
    control_plane: ControlPlane,
    runtime: Runtime,
    node: Option<Node>,
}

impl Parts {
    /// Starts the rest, and then goes on until something fails.
    async fn work(
        &mut self,
        arguments: &UpArguments,
        layout: &Layout,
        name: &NodeName,
        steps: &Steps,
    ) -> Result<()> {
        let common = &arguments.common;
        let control_plane = &mut self.control_plane;
        control_plane.start_loops(common);
        let access = NodeAccess {
            kubelet: control_plane.client(&format!("system:node:{}", name.name), &[NODES_GROUP]),
            proxy: control_plane.client(PROXY, &[]),
            serving: control_plane.keys.kubelet_server(&name.name, name.ip.into())?,
            client_ca_pem: control_plane.keys.authority.cert_pem().to_string(),
        };
        let node = Node::start(layout, common, &arguments.node, name, access, &self.runtime.endpoint)?;
        let node = self.node.insert(node);
        install_dns(control_plane, common).await?;
        node.ready().await?;
        steps.done(&format!("node {} ready", name.name));
        println!(
            "\n  export KUBECONFIG={}\n  kubectl get pods --all-namespaces\n",
            control_plane.kubeconfig.display()
        );
        steps.ready();
        tokio::select! {
            failed = control_plane.failed() => failed,
            failed = node.failed() => failed,
            failed = self.runtime.failed() => failed,
        }
    }

    /// The node first, then its pods, then the API server: each still has what it needs to end well.
    async fn stop(self, layout: &Layout) -> Result<()> {
        let node = match self.node {
            Some(node) => node.stop().await,
            None => Ok(()),
        };
        let pods = take_pods_down(layout, &self.runtime.endpoint).await;
        let mut runtime = self.runtime.stop().await;
        if pods.is_ok() && runtime.is_ok() {
            runtime = remove_run(layout);
        }
        let control_plane = self.control_plane.stop().await;
        node.and(pods).and(runtime).and(control_plane)
    }
}

/// Cluster DNS, from the image that this binary is.
pub(crate) async fn install_dns(
    control_plane: &ControlPlane,
    common: &crate::settings::Common,
) -> Result<()> {
    let image = format!("oarlock.local/oarlock:{}", oarlock_base::IMAGE_TAG);
    let manifest = oarlock_dns::manifest(&image, &common.cluster_domain, dns_address(common)?);
    addons::apply(&control_plane.admin(), &manifest).await
}
