//! Writes of roles and bindings that would grant more than the writer holds. (Upstream has this in RBAC's storage.)

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;

use super::is_main;
use crate::authorization::{Rbac, escalation};
use crate::types::{AdmissionPlugin, AdmissionRequest, Authorizer, Operation, Phase};

pub struct RbacEscalation {
    rbac: Arc<Rbac>,
    authorizer: Arc<dyn Authorizer>,
}

impl RbacEscalation {
    pub fn new(rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { rbac, authorizer }
    }
}

#[async_trait]
impl AdmissionPlugin for RbacEscalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && *request.resource.group == *"rbac.authorization.k8s.io"
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let kinds = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
        let Some(new) = request.object.as_deref() else { return Ok(()) };
        if !kinds.iter().any(|kind| is_main(request, "rbac.authorization.k8s.io", kind)) {
            return Ok(());
        }
        let creation = request.operation == Operation::Create;
        let write = escalation::Write {
            resource: &request.resource.group_resource(),
            user: request.user,
            namespace: request.namespace,
            name: if creation { "" } else { request.name },
            new,
            old: request.old_object,
        };
        escalation::check(&self.rbac, &*self.authorizer, &write).await
    }
}
