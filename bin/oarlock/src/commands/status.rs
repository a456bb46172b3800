//! `oarlock status`: how the cluster of this data directory is, asked through its API.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;

use super::components::client_of;
use super::kubeconfig;
use super::lock::{ROLES, holder};
use crate::layout::Layout;
use crate::settings::Place;

pub(crate) async fn run(place: &Place) -> Result<()> {
    let layout = Layout::new(&place.data_dir);
    println!("oarlock    {}", oarlock_base::VERSION);
    for role in ROLES {
        if let Some(pid) = holder(&layout, role) {
            println!("{role:<10} process {pid}");
        }
    }
    let client = client_of(&kubeconfig::read(&layout)?).await?;
    let request = http::Request::get("/readyz?verbose").body(Vec::new())?;
    let report = client.request_text(request).await.context("the API server does not answer")?;
    let healthy = report.trim_end().ends_with("passed");
    println!("API server {}", if healthy { "ready" } else { "not ready" });
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
    for node in &nodes {
        println!("node       {}: {}", node.metadata.name.as_deref().unwrap_or_default(), node_state(node));
    }
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await?;
    let running = pods.iter().filter(|pod| phase(pod) == "Running").count();
    println!("pods       {running} of {} running", pods.items.len());
    if !healthy {
        bail!("not ready:\n{report}");
    }
    Ok(())
}

fn node_state(node: &Node) -> &'static str {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.filter(|c| c.type_ == "Ready").map(|c| c.status.as_str()).next() {
        Some("True") => "ready",
        Some("False") => "not ready",
        _ => "not heard of",
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}
