//! What every cluster has: system namespaces, RBAC, priority classes, flow control, the service range, and the
//! `kubernetes` Service with its endpoints. Created at start, as upstream's post-start hooks; the server is ready after.

mod identity;
mod keeper;
mod kubernetes;
mod masters;
mod objects;
mod trust;
mod versions;

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_apiserver_access::{Annotations, User};
use oarlock_base::{Backoff, Shutdown};
use serde_json::{Value, json};

use crate::config::{Config, Error};
use crate::registry::services::parse_ranges;
use crate::registry::{Hand, Registry, Served, Write};
use crate::server::Server;

/// What the objects depend on.
pub(crate) struct Plan {
    advertise: IpAddr,
    port: u16,
    service_cidr: String,
    first_address: String,
    node_port: u16,
    keeps_endpoints: bool,
}

impl Plan {
    pub(crate) fn new(config: &Config, port: u16) -> Self {
        let first =
            parse_ranges(&config.service_cidr).and_then(|ranges| Some(ranges.first()?.at(0).to_string()));
        Self {
            advertise: config.advertise,
            port,
            service_cidr: config.service_cidr.clone(),
            first_address: first.unwrap_or_default(),
            node_port: config.running.kubernetes_node_port,
            keeps_endpoints: config.running.keeps_endpoints,
        }
    }
}

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// How many objects are written at once: the store groups their commits.
const CONCURRENT: usize = 64;

/// A server that stops does not wait longer for its address to be taken back.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

/// Brings everything about until it has succeeded, says ready, and takes the endpoint back at the end.
pub(crate) async fn run(server: &Arc<Server>, plan: Plan, stop: Shutdown) -> Result<(), Error> {
    let mut backoff =
        Backoff::doubling(std::time::Duration::from_millis(50), std::time::Duration::from_secs(5)).start();
    loop {
        let Some(done) = stop.or(create_all(server, &plan)).await else { return Ok(()) };
        match done {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(%error, "the system objects could not be created yet");
                if stop.or(tokio::time::sleep(backoff.next_delay())).await.is_none() {
                    return Ok(());
                }
            }
        }
    }
    if let Some(Err(error)) = stop.or(kubernetes::publish_servers(server, &plan)).await {
        // A server at an address that Endpoints may not hold, as a loopback one, serves all the same.
        tracing::warn!(%error, "this server is not among the kubernetes endpoints");
    }
    server.ready.send_replace(true);
    tracing::info!("the API server is ready");
    // The shutdown ends it.
    let _ = stop.or(keeper::keep(server, &plan)).await;
    if tokio::time::timeout(FAREWELL, kubernetes::retire(server, &plan)).await.is_err() {
        tracing::warn!("the store did not take this server from the kubernetes endpoints in time");
    }
    Ok(())
}

async fn create_all(server: &Arc<Server>, plan: &Plan) -> Result<(), Error> {
    create_namespaces(server).await?;
    let mut work: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
    work.push(trust::publish(server).boxed());
    work.push(publish_tracking(server).boxed());
    let all = objects::all(server, plan);
    let services = all.iter().filter(|(plural, _)| *plural == "apiservices");
    let services: Vec<Value> = services.map(|(_, service)| service.clone()).collect();
    work.push(async move { versions::remove_others(server, &services).await }.boxed());
    for (plural, object) in all {
        work.push(objects::reconcile(server, plural, object).boxed());
    }
    stream::iter(work).buffer_unordered(CONCURRENT).try_collect::<()>().await?;
    kubernetes::publish_service(server, plan).await
}

/// Since when uses of tokens that stand in secrets are written down: whoever cleans them up must not look further back.
async fn publish_tracking(server: &Arc<Server>) -> Result<(), Error> {
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system",
        },
        "data": { "since": today },
    });
    ensure(server, "configmaps", object, |existing, _| existing.is_none().then_some(Action::Create)).await
}

async fn create_namespaces(server: &Arc<Server>) -> Result<(), Error> {
    let mut namespaces: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
    for name in NAMESPACES {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": name, "labels": { "kubernetes.io/metadata.name": name },
            },
        });
        let create = |existing: Option<&Value>, _: &Value| existing.is_none().then_some(Action::Create);
        namespaces.push(ensure(server, "namespaces", object, create).boxed());
    }
    stream::iter(namespaces).buffer_unordered(CONCURRENT).try_collect::<()>().await
}

/// What is to be done with an object that a cluster should have.
pub(crate) enum Action {
    Create,
    Replace(Value),
    Recreate(Value),
}

/// Compares an object that should exist with what exists, and does what `decide` says.
async fn ensure(
    server: &Arc<Server>,
    plural: &'static str,
    object: Value,
    decide: impl Fn(Option<&Value>, &Value) -> Option<Action>,
) -> Result<(), Error> {
    let text =
        |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_string();
    let (namespace, name) = (text(&object, "namespace"), text(&object, "name"));
    let failed =
        |status: Status| Error::Bootstrap { what: format!("{plural} {name:?}"), status: Box::new(status) };
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = oarlock_api::gvk::split_api_version(api_version);
    let Some(served) = server.resources.known(group, version, plural) else { return Ok(()) };
    let storage = crate::registry::stored(&served).map_err(failed)?;
    let registry: &Registry = &server.registry;
    let existing = registry.find(storage, &namespace, &name).await.map_err(failed)?;
    let Some(action) = decide(existing.as_ref().map(|found| &found.object), &object) else { return Ok(()) };
    let user = Arc::new(system_user());
    let annotations = Annotations::default();
    let mut write = Write::of_server(&user, &annotations);
    let mut new = match action {
        Action::Create => object,
        Action::Replace(new) => {
            let replaced = registry.update(&served, (&namespace, &name), &mut write, None, |current| {
                let mut new = new.clone();
                own(&served, Some(current), &mut new);
                Ok(new)
            });
            let replaced = replaced.await;
            return replaced.map(drop).map_err(failed);
        }
        Action::Recreate(new) => {
            let options = crate::registry::DeleteOptions::default();
            registry.delete(&served, (&namespace, &name), &options, &mut write).await.map_err(failed)?;
            new
        }
    };
    crate::decode::default(&served, &mut new);
    own(&served, None, &mut new);
    match registry.create(&served, &namespace, new, &mut write).await {
        // Another server was quicker, which is as good.
        Err(status) if status.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop).map_err(failed),
    }
}

/// Records what this server writes as its own.
fn own(served: &Served, live: Option<&Value>, new: &mut Value) {
    let has_status = served.api.subresource("status").is_some();
    Hand::SERVER.record((&served.schema(), &served.gvk), has_status, live, new);
}

/// The server's own identity. (`system:apiserver`)
pub(crate) fn system_user() -> User {
    User { name: "system:apiserver".into(), groups: vec!["system:masters".into()], ..User::default() }
}
