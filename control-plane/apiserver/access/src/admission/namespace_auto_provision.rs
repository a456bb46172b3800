//! NamespaceAutoProvision: a namespace that is written to is made. Off by default.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::{Value, json};

use super::is;
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};

/// Makes a namespace, as a request of the server itself would.
#[async_trait]
pub trait NamespaceCreator: Send + Sync {
    async fn create_namespace(&self, namespace: Value) -> Result<(), Status>;
}

pub struct NamespaceAutoProvision {
    objects: Arc<dyn Objects>,
    creator: Arc<dyn NamespaceCreator>,
}

impl NamespaceAutoProvision {
    pub fn new(objects: Arc<dyn Objects>, creator: Arc<dyn NamespaceCreator>) -> Self {
        Self { objects, creator }
    }
}

#[async_trait]
impl AdmissionPlugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate
            && !request.dry_run
            && !request.namespace.is_empty()
            && !is(request, "", "namespaces")
            && self.objects.get(&NAMESPACES, "", request.namespace).is_none()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": request.namespace},
        });
        match self.creator.create_namespace(namespace).await {
            // Somebody was faster.
            Err(status) if status.code == 409 => Ok(()),
            made => made,
        }
    }
}
