//! node-ipam: gives every node its range of pod addresses out of the cluster's.

mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found,
    object_ref,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::common::context::work;
use crate::common::{Context, Controller};
use plan::Ranges;

pub(crate) struct NodeIpamController {
    client: Client,
    events: EventRecorder,
    nodes: Store<Node>,
    ranges: Mutex<Ranges>,
    queue: WorkQueue<ObjectKey>,
}

impl NodeIpamController {
    /// `None` when nodes are to get no ranges.
    pub(crate) fn register(context: &Context) -> Option<Box<dyn Controller>> {
        let cluster = context.config.cluster_cidr?;
        let client = context.client("node-controller");
        let nodes = context.nodes();
        let controller = Arc::new(Self {
            events: context.recorder(&client, "cidrAllocator"),
            client,
            nodes: nodes.store(),
            ranges: Mutex::new(Ranges::new(cluster, context.config.node_cidr_mask_size)),
            queue: WorkQueue::new("node_ipam"),
        });
        let handler = controller.clone();
        nodes.subscribe(move |change| handler.node_changed(change));
        Some(Box::new(Handle(controller)))
    }

    /// Ranges in use are noted as they are seen; since workers start after the first list, no range is given twice.
    fn node_changed(&self, change: &Change<Node>) {
        let node = change.object();
        let ranges = assigned(node);
        if let Change::Deleted(_) = change {
            let mut free = self.ranges.lock();
            ranges.iter().for_each(|range| free.release(range));
        } else if ranges.is_empty() {
            self.queue.add(ObjectKey::of(&**node));
        } else {
            let mut used = self.ranges.lock();
            ranges.iter().for_each(|range| used.occupy(range));
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(node) = self.nodes.get_key(&key).filter(|node| assigned(node).is_empty()) else {
            return Ok(Outcome::Done);
        };
        let Some(range) = self.ranges.lock().take() else {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.events.event(&object_ref(&*node), EventType::Normal, "CIDRNotAvailable", message);
            return Ok(Outcome::Requeue);
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let patch = json!({
            // A range is given once: the cache may not have heard of it yet.
            "metadata": {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version},
            "spec": {"podCIDR": range, "podCIDRs": [range]},
        });
        match api.patch(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => {
                self.ranges.lock().release(&range);
                if is_not_found(&error) {
                    return Ok(Outcome::Done);
                }
                if is_conflict(&error) {
                    return Ok(Outcome::Requeue);
                }
                let message = format!("Node {} status is now: CIDRAssignmentFailed", key.name);
                self.events.event(&object_ref(&*node), EventType::Normal, "CIDRAssignmentFailed", message);
                Err(error)
            }
        }
    }
}

/// The ranges that a node has.
fn assigned(node: &Node) -> Vec<String> {
    let Some(spec) = node.spec.as_ref() else { return vec![] };
    let many = spec.pod_cidrs.clone().unwrap_or_default();
    if many.is_empty() {
        spec.pod_cidr.clone().filter(|one| !one.is_empty()).into_iter().collect()
    } else {
        many
    }
}

struct Handle(Arc<NodeIpamController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, NodeIpamController::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::Value;

    #[tokio::test]
    async fn every_node_gets_its_own_range() {
        let api = FakeApi::new();
        let node = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec});
        api.put(node("a", json!({"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]})));
        api.put(node("b", json!({})));
        let configure = |config: &mut crate::Config| config.cluster_cidr = "10.244.0.0/23".parse().ok();
        let make = |context: &Context| NodeIpamController::register(context).expect("a range is configured");
        let world = World::start_with(api.clone(), configure, make).await;
        let range = |api: &FakeApi, name: &str| {
            let node = api.get("nodes", "", name)?;
            node["spec"]["podCIDR"].as_str().map(String::from)
        };
        assert_eq!(api.until(|api| range(api, "b")).await, "10.244.1.0/24");
        api.put(node("c", json!({})));
        let event = api.until(|api| api.list("events").pop()).await;
        assert_eq!(event["reason"], "CIDRNotAvailable");
        api.remove("nodes", "", "a");
        assert_eq!(api.until(|api| range(api, "c")).await, "10.244.0.0/24");
        world.end().await;
    }
}
