//! What node-lifecycle writes: conditions of nodes, taints, readiness of pods.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use oarlock_client::{EventType, is_conflict, is_not_found, object_ref};
use serde_json::json;
use tracing::info;

use super::{NodeLifecycleController, plan};
use crate::common::context::BY_NODE;
use crate::common::pods;

impl NodeLifecycleController {
    /// Makes the conditions of a silent node Unknown; gives the node as it is then.
    pub(super) async fn mark_silent(&self, node: &Arc<Node>) -> kube::Result<Arc<Node>> {
        let Some(conditions) = plan::silenced(node, Timestamp::now()) else { return Ok(node.clone()) };
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Node> = Api::all(self.client.clone());
        let patch = json!({
            "metadata": {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version},
            "status": {"conditions": conditions},
        });
        match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(written) => {
                info!(node = name, "node fell silent");
                Ok(Arc::new(written))
            }
            // It has just spoken, or gone: the change brings it back.
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(node.clone()),
            Err(error) => Err(error),
        }
    }

    /// No pod on a node that is not ready counts as ready.
    pub(super) async fn mark_pods(&self, node: &Node) -> kube::Result<()> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        for pod in self.pods.by_index(BY_NODE, name) {
            if !pods::is_ready(&pod) {
                continue;
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            let condition =
                json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now())});
            let patch = json!({"metadata": {"uid": pods::uid(&pod)}, "status": {"conditions": [condition]}});
            match api.patch_status(pods::name(&pod), &PatchParams::default(), &Patch::Strategic(patch)).await
            {
                Ok(_) => {
                    self.events.event(
                        &object_ref(&*pod),
                        EventType::Warning,
                        "NodeNotReady",
                        "Node is not ready",
                    );
                }
                Err(error) if is_not_found(&error) || is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn write_taints(&self, node: &Node, evict: bool) -> kube::Result<()> {
        let Some(taints) = plan::taints(node, evict, Timestamp::now()) else { return Ok(()) };
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Node> = Api::all(self.client.clone());
        // A merge patch puts the whole list, so the list must still be the one that we saw.
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": taints},
        });
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if is_not_found(&error) => Ok(()),
            // Somebody wrote the node meanwhile, and that change brings it back here.
            Err(error) if is_conflict(&error) => Ok(()),
            written => written.map(drop),
        }
    }
}
