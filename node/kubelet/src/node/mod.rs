//! This node in the API: registered at once, its status written when it changes, its lease renewed.

mod facts;
mod lease;
mod object;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use oarlock_base::{Backoff, Shutdown};
use oarlock_client::{EventType, is_already_exists, is_not_found};
use oarlock_cri::v1::{ListImagesRequest, StatusRequest, VersionRequest};
use serde_json::json;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub(crate) use facts::Machine;
pub(crate) use lease::renew_lease;
pub(crate) use object::initial_node;
use object::{RuntimeView, same_but_heartbeat, status};

use crate::context::Context;
use crate::manager::Manager;

/// An unchanged status is written this often, as upstream's `nodeStatusReportFrequency`.
const REPORT: Duration = Duration::from_secs(300);
/// How often a ready runtime is asked whether it still is; upstream asks every 5 s.
const ASK_READY: Duration = Duration::from_secs(10);
/// The runtime does not tell when it becomes ready, so it is asked, quickly at first.
const ASK_UNREADY: Backoff = Backoff::doubling(Duration::from_millis(10), Duration::from_secs(1));
const RETRY: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_secs(7)).with_jitter(0.1);
/// Registration waits this long for a runtime that is just starting, so that one write says all.
const FIRST_ANSWER: Duration = Duration::from_millis(500);

/// Keeps the node object true until the shutdown.
pub(crate) async fn keep_node(ctx: Arc<Context>, manager: Manager, stop: Shutdown) -> Result<(), Infallible> {
    stop.or(Keeper { ctx, manager, written: None, written_at: Instant::now() }.run()).await;
    Ok(())
}

struct Keeper {
    ctx: Arc<Context>,
    manager: Manager,
    written: Option<NodeStatus>,
    written_at: Instant,
}

impl Keeper {
    async fn run(mut self) {
        let machine = Machine::read(&self.ctx.config.root_dir);
        let mut ask = ASK_UNREADY.start();
        let begun = Instant::now();
        let mut view = RuntimeView::default();
        // Only for its answer, not for its network: that may wait for the pod range, which a registered node is given.
        while begun.elapsed() < FIRST_ANSWER {
            view = self.look().await;
            if view.failure.is_none() {
                break;
            }
            tokio::time::sleep(ask.next_delay()).await;
        }
        self.register(&machine, &view).await;
        ask.reset();
        loop {
            let status = self.status(&machine, &view);
            self.report(status).await;
            let delay = if view.is_ready() {
                ask.reset();
                ASK_READY
            } else {
                ask.next_delay()
            };
            tokio::time::sleep(delay).await;
            let next = self.look().await;
            if next.is_ready() && !view.is_ready() {
                info!("the runtime is ready");
                self.manager.wake_all();
            }
            view = next;
        }
    }

    /// Asks the runtime how it is.
    async fn look(&self) -> RuntimeView {
        let cri = self.ctx.cri.with_timeout(Duration::from_secs(5));
        let (version, status, images) = tokio::join!(
            cri.version(VersionRequest::default()),
            cri.status(StatusRequest::default()),
            cri.list_images(ListImagesRequest::default()),
        );
        if let Ok(version) = &version {
            let mut name = self.ctx.runtime_name.write();
            if *name != version.runtime_name {
                info!(
                    runtime = version.runtime_name,
                    version = version.runtime_version,
                    "the runtime answers"
                );
                name.clone_from(&version.runtime_name);
            }
        }
        let failure = status.as_ref().err().map(ToString::to_string);
        RuntimeView {
            version: version
                .map(|v| format!("{}://{}", v.runtime_name, v.runtime_version))
                .unwrap_or_default(),
            conditions: status
                .ok()
                .and_then(|status| status.status)
                .map(|s| s.conditions)
                .unwrap_or_default(),
            images: images.map(|images| images.images).unwrap_or_default(),
            failure,
        }
    }

    fn status(&self, machine: &Machine, view: &RuntimeView) -> NodeStatus {
        status(&self.ctx.config, machine, view, self.written.as_ref(), Timestamp::now())
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.ctx.config.client.clone())
    }

    /// Makes the node object, or takes over the one that is there.
    async fn register(&mut self, machine: &Machine, view: &RuntimeView) {
        let mut node = initial_node(&self.ctx.config);
        node.status = Some(self.status(machine, view));
        self.ctx.node.send_replace(Arc::new(node.clone()));
        let mut retry = RETRY.start();
        loop {
            match self.api().create(&PostParams::default(), &node).await {
                Ok(created) => {
                    info!(node = self.ctx.config.node_name, "node registered");
                    self.took_over(created, view);
                    return;
                }
                Err(error) if is_already_exists(&error) => match self.adopt(&node).await {
                    Ok(existing) => {
                        info!(node = self.ctx.config.node_name, "node known to the API");
                        self.took_over(existing, view);
                        return;
                    }
                    Err(error) => debug!(%error, "the node could not be taken over yet"),
                },
                Err(error) => debug!(%error, "the node could not be registered yet"),
            }
            tokio::time::sleep(retry.next_delay()).await;
        }
    }

    fn took_over(&mut self, mut node: Node, view: &RuntimeView) {
        self.written.clone_from(&node.status);
        self.written_at = Instant::now();
        if node.status.as_ref().is_none_or(|status| status.allocatable.is_none()) {
            node.status.clone_from(&self.ctx.node.borrow().status);
        }
        let reference = oarlock_client::object_ref(&node);
        self.ctx.recorder.event(&reference, EventType::Normal, "Starting", "Starting kubelet.");
        self.ctx.node.send_replace(Arc::new(node));
        self.tell_ready(view.is_ready());
    }

    /// Brings labels of a node that is there up to date.
    async fn adopt(&self, wanted: &Node) -> kube::Result<Node> {
        let api = self.api();
        let existing = api.get(&self.ctx.config.node_name).await?;
        let have = existing.metadata.labels.clone().unwrap_or_default();
        let missing: std::collections::BTreeMap<_, _> = wanted
            .metadata
            .labels
            .iter()
            .flatten()
            .filter(|(key, value)| have.get(*key) != Some(*value))
            .collect();
        if missing.is_empty() {
            return Ok(existing);
        }
        let patch = json!({ "metadata": { "labels": missing } });
        api.patch(&self.ctx.config.node_name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Writes the status if it is news, or if the last write is long ago.
    async fn report(&mut self, status: NodeStatus) {
        let same = self.written.as_ref().is_some_and(|written| same_but_heartbeat(written, &status));
        if same && self.written_at.elapsed() < REPORT {
            return;
        }
        let patch = json!({ "status": status });
        let api = self.api();
        let name = &self.ctx.config.node_name;
        match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(node) => {
                let ready = ready_condition(&status).is_some_and(|condition| condition.status == "True");
                self.events_of_change(&node, &status);
                self.written = Some(status);
                self.written_at = Instant::now();
                self.ctx.node.send_replace(Arc::new(node));
                self.tell_ready(ready);
            }
            Err(error) if is_not_found(&error) => {
                // Somebody deleted the node; an agent that runs makes it again.
                let mut node = initial_node(&self.ctx.config);
                node.status = Some(status);
                if let Err(error) = api.create(&PostParams::default(), &node).await {
                    warn!(%error, "the node could not be made again");
                }
            }
            Err(error) => warn!(%error, "node status not written"),
        }
    }

    fn events_of_change(&self, node: &Node, status: &NodeStatus) {
        let before =
            self.written.as_ref().and_then(ready_condition).map(|condition| condition.status.clone());
        let now = ready_condition(status).map(|condition| condition.status.clone());
        if before == now {
            return;
        }
        let name = &self.ctx.config.node_name;
        let reason = if now.as_deref() == Some("True") { "NodeReady" } else { "NodeNotReady" };
        let text = format!("Node {name} status is now: {reason}");
        self.ctx.recorder.event(&oarlock_client::object_ref(node), EventType::Normal, reason, text);
    }

    fn tell_ready(&self, ready: bool) {
        if let Some(sender) = &self.ctx.config.ready {
            sender.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        }
    }
}

fn ready_condition(status: &NodeStatus) -> Option<&NodeCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready")
}
