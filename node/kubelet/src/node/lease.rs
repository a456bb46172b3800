//! The node's lease in `kube-node-lease`: the sign of life that costs the API least.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use oarlock_base::{Backoff, Shutdown};
use oarlock_client::{is_already_exists, is_not_found};
use tracing::debug;

use crate::context::Context;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 40;
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(7));

/// Makes the lease and renews it until the shutdown.
pub(crate) async fn renew_lease(ctx: Arc<Context>, stop: Shutdown) -> Result<(), Infallible> {
    stop.or(renew(&ctx)).await;
    Ok(())
}

async fn renew(ctx: &Context) {
    let api: Api<Lease> = Api::namespaced(ctx.config.client.clone(), NAMESPACE);
    let mut held: Option<Lease> = None;
    let mut retry = RETRY.start();
    let mut node = ctx.node.subscribe();
    // The owner's uid is known once the node has been registered.
    if node.wait_for(|node| node.metadata.uid.is_some()).await.is_err() {
        return;
    }
    loop {
        match write(&api, ctx, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                retry.reset();
                tokio::time::sleep(RENEW).await;
            }
            Err(error) => {
                debug!(%error, "lease not renewed");
                tokio::time::sleep(retry.next_delay()).await;
            }
        }
    }
}

async fn write(api: &Api<Lease>, ctx: &Context, held: Option<Lease>) -> kube::Result<Lease> {
    let name = &ctx.config.node_name;
    let post = PostParams::default();
    if let Some(mut lease) = held {
        fill(&mut lease, name);
        match api.replace(name, &post, &lease).await {
            Err(error) if is_not_found(&error) => {}
            written => return written,
        }
    }
    let node = ctx.node.borrow().clone();
    let mut lease = new_lease(&node, name);
    match api.create(&post, &lease).await {
        Err(error) if is_already_exists(&error) => {
            lease = api.get(name).await?;
            fill(&mut lease, name);
            api.replace(name, &post, &lease).await
        }
        written => written,
    }
}

fn new_lease(node: &Node, name: &str) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.to_owned());
    lease.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.to_owned(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    }]);
    fill(&mut lease, name);
    lease
}

fn fill(lease: &mut Lease, name: &str) {
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(name.to_owned());
    spec.lease_duration_seconds = Some(DURATION_SECONDS);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
}
