//! pod-garbage-collector: removes pods that nobody else will: those of nodes that are gone, those that were told to
//! end before they had a node, those of nodes that are out of service, and the oldest of too many that have ended.
//!
//! Where upstream looks at all pods every twenty seconds, this looks at a pod or node when it changes.

mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found};
use serde_json::json;

use crate::common::context::{BY_NODE, work};
use crate::common::pods::{is_terminal, name, node_name, uid};
use crate::common::{Context, Controller};
use plan::Doom;

/// A node must be gone for this long before its pods count as orphans: it may register again.
const QUARANTINE: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// The pods of a node that was not there.
    Node(Arc<str>),
    Pod(ObjectKey),
    /// Whether too many pods have ended.
    Terminated,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Pod(pod) => write!(f, "pod {pod}"),
            Self::Terminated => f.write_str("terminated pods"),
        }
    }
}

pub(crate) struct PodGcController {
    client: Client,
    nodes: Store<Node>,
    pods: Store<Pod>,
    threshold: usize,
    queue: WorkQueue<Key>,
}

impl PodGcController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let (nodes, pods) = (context.nodes(), context.pods());
        let controller = Arc::new(Self {
            client: context.client("pod-garbage-collector"),
            nodes: nodes.store(),
            pods: pods.store(),
            threshold: context.config.terminated_pod_gc_threshold,
            queue: WorkQueue::new("pod_gc_controller"),
        });
        let handler = controller.clone();
        nodes.subscribe(move |change| handler.node_changed(change));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    fn node_changed(&self, change: &Change<Node>) {
        let node = change.object();
        let name: Arc<str> = node.metadata.name.as_deref().unwrap_or_default().into();
        match change {
            Change::Deleted(_) => self.queue.add_after(Key::Node(name), QUARANTINE),
            _ if plan::is_out_of_service(node) => {
                for pod in self.pods.by_index(BY_NODE, &name) {
                    self.queue.add(Key::Pod(ObjectKey::of(&*pod)));
                }
            }
            _ => {}
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let pod = match change {
            Change::Deleted(_) => return,
            Change::Added(pod) | Change::Updated { new: pod, .. } => pod,
        };
        let node = node_name(pod);
        if !node.is_empty() && matches!(change, Change::Added(_)) && self.nodes.get("", node).is_none() {
            self.queue.add_after(Key::Node(node.into()), QUARANTINE);
        }
        if pod.metadata.deletion_timestamp.is_some() && (node.is_empty() || self.is_out_of_service(node)) {
            self.queue.add(Key::Pod(ObjectKey::of(&**pod)));
        }
        // There cannot be too many ended pods unless there are too many pods.
        if is_terminal(pod) && self.threshold > 0 && self.pods.len() > self.threshold {
            self.queue.add(Key::Terminated);
        }
    }

    fn is_out_of_service(&self, node: &str) -> bool {
        self.nodes.get("", node).is_some_and(|node| plan::is_out_of_service(&node))
    }

    async fn sync(self: Arc<Self>, key: Key) -> Result<Outcome, kube::Error> {
        match key {
            Key::Node(node) => {
                if self.nodes.get("", &node).is_some() || self.exists(&node).await? {
                    return Ok(Outcome::Done);
                }
                for pod in self.pods.by_index(BY_NODE, &node) {
                    self.remove(&pod, Doom::Orphaned).await?;
                }
            }
            Key::Pod(key) => {
                let Some(pod) = self.pods.get_key(&key) else { return Ok(Outcome::Done) };
                if let Some(doom) = plan::terminating(&pod, self.is_out_of_service(node_name(&pod))) {
                    self.remove(&pod, doom).await?;
                }
            }
            Key::Terminated => {
                for pod in plan::surplus(self.pods.list(), self.threshold) {
                    self.remove(&pod, Doom::Surplus).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// The cache may be behind; pods are not removed on its word alone.
    async fn exists(&self, node: &str) -> kube::Result<bool> {
        let api: Api<Node> = Api::all(self.client.clone());
        Ok(api.get_metadata_opt(node).await?.is_some())
    }

    /// Marks the pod as failed, so that its owner sees how it ended, and deletes it without waiting for a kubelet.
    async fn remove(&self, pod: &Pod, doom: Doom) -> kube::Result<()> {
        let api: Api<Pod> =
            Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        if !is_terminal(pod) {
            let mut status = json!({"phase": "Failed"});
            if doom == Doom::Orphaned {
                status["conditions"] = json!([{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastTransitionTime": Time(Timestamp::now()),
                }]);
            }
            let patch = json!({"metadata": {"uid": uid(pod)}, "status": status});
            match api.patch_status(name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await {
                Err(error) if is_not_found(&error) || is_conflict(&error) => return Ok(()),
                patched => patched?,
            };
        }
        let same = Preconditions { uid: Some(uid(pod).to_string()), ..Preconditions::default() };
        match api.delete(name(pod), &DeleteParams::default().grace_period(0).preconditions(same)).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

struct Handle(Arc<PodGcController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, PodGcController::sync);
    }
}
