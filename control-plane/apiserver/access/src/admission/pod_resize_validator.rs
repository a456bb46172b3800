//! PodResizeValidator: a pod is not resized beyond what its node could ever give.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is, refuse};
use crate::resources::NODES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{name, text};
use oarlock_quota::amounts::amounts;
use oarlock_quota::pod_amounts::{self, Reading};

pub struct PodResizeValidator {
    objects: Arc<dyn Objects>,
}

impl PodResizeValidator {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

fn fits(pod: &Value, node: &Value) -> Result<(), String> {
    let asked = pod_amounts::requests(pod, Reading { status: true, overhead: true });
    let allocatable = amounts(&node["status"]["allocatable"]);
    let mut faults = Vec::new();
    for (resource, milli) in [("cpu", true), ("memory", false)] {
        let of = |all: &oarlock_quota::Amounts| {
            all.get(resource).map_or(0, |amount| if milli { amount.milli_value() } else { amount.value() })
        };
        let (requested, allocatable) = (of(&asked), of(&allocatable));
        if requested > allocatable {
            faults.push(format!("{resource}, requested: {requested}, allocatable: {allocatable}"));
        }
    }
    if !faults.is_empty() {
        return Err(format!("Node didn't have enough allocatable resources: {}", faults.join("; ")));
    }
    let os = text(node, &["metadata", "labels", "kubernetes.io/os"]);
    if os == "linux" {
        return Ok(());
    }
    Err(format!("pod resize is only supported on linux nodes, node {:?} is {os:?}", name(node)))
}

#[async_trait]
impl AdmissionPlugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is(request, "", "pods") && request.subresource == "resize"
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (request.object.as_deref(), request.old_object) else { return Ok(()) };
        let node = text(pod, &["spec", "nodeName"]);
        if node.is_empty() || pod["spec"] == old["spec"] {
            return Ok(());
        }
        let found = match self.objects.get(&NODES, "", node) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&NODES, "", node).await?,
        };
        match found {
            None => Err(refuse(request, format!("node {node:?} not found"))),
            Some(node) => fits(pod, &node).map_err(|why| refuse(request, why)),
        }
    }
}
