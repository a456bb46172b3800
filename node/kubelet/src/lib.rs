//! The node agent: takes the pods that the API (or a manifest on disk) gives to this node, makes them run through CRI, and
//! tells the API how they are.
//!
//! The way of a pod: [`manager`] learns of it and admits it; its [`worker`] brings it about, pass by pass, from what
//! [`observed`] says and a pure plan; [`volumes`], [`cgroups`], [`images`] and [`translate`] serve the worker; [`pleg`] and
//! [`probes`] wake it; [`status`] writes what came of it. [`node`] keeps the node object and its lease, [`server`] answers
//! the API server. Containers outlive the agent: a new one finds them by their labels.

mod admission;
mod cgroups;
mod config;
mod context;
mod env;
mod fields;
mod images;
mod logs;
mod manager;
mod node;
mod objects;
mod observed;
mod pleg;
mod pod;
mod probes;
mod rotate;
mod server;
mod static_pods;
mod status;
mod takedown;
#[cfg(test)]
mod tests;
mod translate;
mod volumes;
mod worker;

use futures::future::BoxFuture;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use oarlock_base::{Shutdown, TaskError, Tasks};
use oarlock_client::{EventRecorder, Informers, Selection};
use thiserror::Error;

pub use config::{Config, ServerConfig};
pub use takedown::take_down;

use context::Context;
use manager::Manager;
use observed::{Observed, Observer};
use pod::PodExt as _;

/// Why the kubelet could not start or had to stop.
#[derive(Debug, Error)]
pub enum Error {
    #[error("make {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("serve the kubelet's API")]
    Server(#[from] server::ServerError),
    #[error("a part of the kubelet failed")]
    Task(#[from] TaskError),
}

/// Runs the kubelet until the shutdown. Containers go on without it.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(mut config: Config, shutdown: Shutdown) -> Result<(), Error> {
    for path in [&config.root_dir, &config.pod_logs_dir] {
        let made = tokio::fs::create_dir_all(path).await;
        made.map_err(|source| Error::Directory { path: path.clone(), source })?;
    }
    // Bound first: the port that was given stands in the node object.
    let listener = match &mut config.server {
        Some(server) => Some(server::bind(server).await?),
        None => None,
    };
    let mut tasks = Tasks::new("kubelet", &shutdown);
    let informers = Informers::new(config.client.clone(), tasks.spawner());
    let manager = Manager::new(Arc::new(context(config, &informers, &tasks)));
    let ctx = manager.context().clone();

    let pods =
        informers.select::<Pod>(Selection::all().fields(&format!("spec.nodeName={}", ctx.config.node_name)));
    let of_node = manager.clone();
    let (node, keeper) = (ctx.clone(), manager.clone());
    tasks.spawn("node", |stop| node::keep_node(node, keeper, stop));
    tasks.spawn("lease", |stop| node::renew_lease(ctx.clone(), stop));
    tasks.spawn("events", |stop| pleg::follow_events(ctx.cri.clone(), manager.clone(), stop));
    tasks.spawn("relist", |stop| pleg::relist_slowly(ctx.cri.clone(), manager.clone(), stop));
    tasks.spawn("log rotation", |stop| rotate::rotate_logs(manager.clone(), stop));
    if let Some((listener, tls)) = listener {
        tasks.spawn("server", |stop| server::serve(listener, tls, manager.clone(), stop));
    }
    let sources = manager.clone();
    tasks.spawn("pods", |stop| async move {
        stop.or(async {
            informers.start();
            // Pods need the node (for admission), the runtime's name and the services (for their environment).
            let mut node = ctx.node.subscribe();
            // An error says that the context is gone, and with it this task.
            let _ = node.wait_for(|node| node.metadata.uid.is_some()).await;
            informers.synced().await;
            if let Some(path) = &ctx.config.static_pod_path {
                static_pods::read_all(path, &sources).await;
            }
            pods.subscribe(move |change| of_node.api_change(change));
            sources.clear_orphans().await;
            if let Some(path) = ctx.config.static_pod_path.clone() {
                static_pods::follow(path, &sources).await;
            }
        })
        .await;
        Ok::<_, std::convert::Infallible>(())
    });
    Ok(tasks.join().await?)
}

fn context(config: Config, informers: &Informers, tasks: &Tasks) -> Context {
    let cri = oarlock_cri::Client::connect(&config.cri_endpoint);
    let (client, spawner) = (config.client.clone(), tasks.spawner());
    Context {
        observer: Observer::new(cri.clone()),
        recorder: EventRecorder::new(client.clone(), "kubelet", &config.node_name, &spawner),
        objects: objects::Objects::new(informers.clone()),
        volumes: volumes::Volumes::new(config.root_dir.clone(), client.clone(), config.node_ip.to_string()),
        images: images::Images::new(cri.clone()),
        status: status::StatusWriter::new(client, spawner.clone()),
        cgroups: config.cgroup_root.as_deref().and_then(cgroups::Cgroups::open),
        services: informers.of::<Service>(),
        node: tokio::sync::watch::Sender::new(Arc::new(node::initial_node(&config))),
        runtime_name: parking_lot::RwLock::new("unknown".into()),
        cri,
        spawner,
        config,
    }
}

/// The address at which a pod is reached.
fn pod_ip(ctx: &Context, pod: &Pod, observed: &Observed) -> Option<String> {
    if pod.host_network() { Some(ctx.host_ip()) } else { observed.ips().into_iter().next() }
}
