//! NamespaceLifecycle: objects live in namespaces that exist, none is made in one that is going, and the cluster's own
//! namespaces stay.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;

use super::{is, refuse};
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation};
use crate::value::text;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle {
    objects: Arc<dyn Objects>,
}

impl NamespaceLifecycle {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

#[async_trait]
impl AdmissionPlugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if is(request, "", "namespaces") {
            if request.operation == Operation::Delete && IMMORTAL.contains(&request.name) {
                return Err(Status::forbidden(
                    &NAMESPACES,
                    request.name,
                    "this namespace may not be deleted",
                ));
            }
            return Ok(());
        }
        // A review answers the same for a namespace that is there and one that is not: names are no secret to leak.
        let review = is(request, "authorization.k8s.io", "localsubjectaccessreviews");
        if request.namespace.is_empty() || request.operation == Operation::Delete || review {
            return Ok(());
        }
        let namespace = match self.objects.get(&NAMESPACES, "", request.namespace) {
            Some(known) => known,
            None => self
                .objects
                .get_fresh(&NAMESPACES, "", request.namespace)
                .await?
                .ok_or_else(|| Status::not_found(&NAMESPACES, request.namespace))?,
        };
        let going = text(&namespace, &["status", "phase"]) == "Terminating";
        if !going || request.operation != Operation::Create {
            return Ok(());
        }
        let name = request.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        Err(refuse(request, why).with_cause(
            "NamespaceTerminating",
            format!("namespace {name} is being terminated"),
            "metadata.namespace",
        ))
    }
}
