//! NodeDeclaredFeatureValidator: a pod is not changed into what its node has not said that it can do. (KEP-5328)

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is, refuse};
use crate::resources::NODES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{items, name, text, texts};
use oarlock_quota::amounts::amounts;

pub struct NodeDeclaredFeatureValidator {
    objects: Arc<dyn Objects>,
}

impl NodeDeclaredFeatureValidator {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

/// A feature, and whether a change of a bound pod needs it.
type Feature = (&'static str, fn(new: &Value, old: &Value) -> bool);

/// What changes of pods can need in 1.36, by name.
const FEATURES: [Feature; 2] = [
    ("GuaranteedQoSPodCPUResize", resizes_guaranteed_cpu),
    ("InPlacePodLevelResourcesVerticalScaling", resizes_pod_level),
];

fn resizes_guaranteed_cpu(new: &Value, old: &Value) -> bool {
    let cpu = |container: &Value| amounts(&container["resources"]["requests"]).get("cpu").copied();
    let (new_list, old_list) = (items(new, &["spec", "containers"]), items(old, &["spec", "containers"]));
    text(old, &["status", "qosClass"]) == "Guaranteed"
        && new_list.iter().zip(old_list).any(|(new, old)| cpu(new) != cpu(old))
}

fn resizes_pod_level(new: &Value, old: &Value) -> bool {
    let of = |pod: &Value, which: &str| amounts(&pod["spec"]["resources"][which]);
    ["requests", "limits"].iter().any(|which| of(new, which) != of(old, which))
}

#[async_trait]
impl AdmissionPlugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is(request, "", "pods") && matches!(request.subresource, "" | "resize")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (request.object.as_deref(), request.old_object) else { return Ok(()) };
        let node = text(pod, &["spec", "nodeName"]);
        if node.is_empty() || pod["spec"] == old["spec"] {
            return Ok(());
        }
        let needed = FEATURES.iter().filter(|(_, needs)| needs(pod, old)).map(|(feature, _)| *feature);
        let needed: Vec<&str> = needed.collect();
        if needed.is_empty() {
            return Ok(());
        }
        let found = match self.objects.get(&NODES, "", node) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&NODES, "", node).await?,
        };
        let Some(node) = found else { return Err(refuse(request, format!("node {node:?} not found"))) };
        let declared = texts(&node, &["status", "declaredFeatures"]);
        let lacking: Vec<&str> =
            needed.into_iter().filter(|feature| !declared.iter().any(|had| had == feature)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let (lacking, node) = (lacking.join(", "), name(&node));
        Err(refuse(
            request,
            format!("pod update requires features {lacking} which are not available on node {node:?}"),
        ))
    }
}
