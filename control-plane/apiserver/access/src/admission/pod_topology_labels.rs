//! PodTopologyLabels: a pod knows the zone and the region of the node that it is bound to. (KEP-4742)

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::is;
use crate::resources::NODES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{map_mut, text};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub struct PodTopologyLabels {
    objects: Arc<dyn Objects>,
}

impl PodTopologyLabels {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

/// The node that a new pod or a binding names.
fn node_of<'a>(request: &'a AdmissionRequest<'_>) -> Option<&'a str> {
    let object = request.object.as_deref()?;
    let node = match request.subresource {
        "" if is(request, "", "pods") => text(object, &["spec", "nodeName"]),
        "binding" if is(request, "", "pods") && is_for_node(object) => text(object, &["target", "name"]),
        "" if is(request, "", "bindings") && is_for_node(object) => text(object, &["target", "name"]),
        _ => "",
    };
    Some(node).filter(|node| !node.is_empty())
}

fn is_for_node(binding: &Value) -> bool {
    matches!(text(binding, &["target", "kind"]), "" | "Node")
}

#[async_trait]
impl AdmissionPlugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && node_of(request).is_some()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(node) = node_of(request).and_then(|node| self.objects.get(&NODES, "", node)) else {
            return Ok(());
        };
        let Some(object) = request.object.as_deref_mut() else { return Ok(()) };
        for key in LABELS {
            if let Some(value) = node["metadata"]["labels"].get(key) {
                map_mut(&mut object["metadata"], "labels").insert(key.into(), value.clone());
            }
        }
        Ok(())
    }
}
