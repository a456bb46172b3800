//! taint-eviction: deletes pods from nodes whose NoExecute taints they do not tolerate, at once or when their
//! toleration runs out.
//!
//! [`plan`] says until when a pod may stay. A pod's clock starts when this controller first sees it under the taints.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found,
    object_ref,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::common::context::{BY_NODE, work};
use crate::common::pods::{name, node_name, uid};
use crate::common::{Context, Controller, until};
use plan::Stay;

const WORKERS: usize = 8;

pub(crate) struct TaintEvictionController {
    client: Client,
    events: EventRecorder,
    nodes: Store<Node>,
    pods: Store<Pod>,
    queue: WorkQueue<ObjectKey>,
    /// Since when a pod's tolerations run.
    running: Mutex<HashMap<String, Timestamp>>,
}

impl TaintEvictionController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("node-controller");
        let (nodes, pods) = (context.nodes(), context.pods());
        let controller = Arc::new(Self {
            events: context.recorder(&client, "taint-eviction-controller"),
            client,
            nodes: nodes.store(),
            pods: pods.store(),
            queue: WorkQueue::new("taint_eviction_controller"),
            running: Mutex::default(),
        });
        let handler = controller.clone();
        nodes.subscribe(move |change| handler.node_changed(change));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    fn node_changed(&self, change: &Change<Node>) {
        match change {
            Change::Updated { old, new } if plan::evicting(old) == plan::evicting(new) => return,
            Change::Added(node) if plan::evicting(node).is_empty() => return,
            _ => {}
        }
        let node = change.object().metadata.name.as_deref().unwrap_or_default();
        for pod in self.pods.by_index(BY_NODE, node) {
            self.queue.add(ObjectKey::of(&*pod));
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let pod = change.object();
        match change {
            Change::Deleted(_) => {
                self.running.lock().remove(uid(pod));
                return;
            }
            Change::Updated { old, new } => {
                let part = |pod: &Pod| {
                    let spec = pod.spec.as_ref();
                    spec.map(|spec| (spec.node_name.clone(), spec.tolerations.clone()))
                };
                if part(old) == part(new) {
                    return;
                }
            }
            Change::Added(_) => {}
        }
        let node = self.nodes.get("", node_name(pod));
        if node.is_some_and(|node| !plan::evicting(&node).is_empty())
            || self.running.lock().contains_key(uid(pod))
        {
            self.queue.add(ObjectKey::of(&**pod));
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(pod) = self.pods.get_key(&key) else { return Ok(Outcome::Done) };
        if pod.metadata.deletion_timestamp.is_some() {
            self.running.lock().remove(uid(&pod));
            return Ok(Outcome::Done);
        }
        let taints =
            self.nodes.get("", node_name(&pod)).map(|node| plan::evicting(&node)).unwrap_or_default();
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        let now = Timestamp::now();
        let since = *self.running.lock().entry(uid(&pod).to_string()).or_insert(now);
        match plan::stay(&taints, tolerations, since) {
            Stay::Forever => {
                if self.running.lock().remove(uid(&pod)).is_some_and(|since| since != now) {
                    let message = format!("Cancelling deletion of Pod {key}");
                    self.events.event(&object_ref(&*pod), EventType::Normal, "TaintManagerEviction", message);
                }
                Ok(Outcome::Done)
            }
            Stay::Until(at) if at > now => Ok(Outcome::RequeueAfter(until(at, now))),
            Stay::Until(_) => self.evict(&key, &pod).await,
        }
    }

    async fn evict(&self, key: &ObjectKey, pod: &Pod) -> Result<Outcome, kube::Error> {
        let message = format!("Marking for deletion Pod {key}");
        self.events.event(&object_ref(pod), EventType::Normal, "TaintManagerEviction", message);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now()),
        });
        let patch = json!({"metadata": {"uid": uid(pod)}, "status": {"conditions": [condition]}});
        match api.patch_status(name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if is_not_found(&error) || is_conflict(&error) => return Ok(Outcome::Done),
            patched => patched?,
        };
        let same = Preconditions { uid: Some(uid(pod).to_string()), ..Preconditions::default() };
        match api.delete(name(pod), &DeleteParams::default().preconditions(same)).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }
}

struct Handle(Arc<TaintEvictionController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, TaintEvictionController::sync);
    }
}
