//! NamespaceLifecycle: objects live in namespaces that exist, none is made in one that is going, and the cluster's own
//! namespaces stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use oarlock_api::Status;
use parking_lot::Mutex;
use serde_json::Value;

use super::{is, refuse};
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::text;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// For how long after its deletion was asked for a namespace is read freshly: the cache may still call it active.
const DOUBT: Duration = Duration::from_secs(30);

pub struct NamespaceLifecycle {
    objects: Arc<dyn Objects>,
    /// Namespaces whose deletion was asked for, and when.
    deleted: Mutex<HashMap<String, Instant>>,
}

impl NamespaceLifecycle {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, deleted: Mutex::default() }
    }

    fn admit_namespace(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        if request.operation != Operation::Delete {
            return Ok(());
        }
        if IMMORTAL.contains(&request.name) {
            return Err(Status::forbidden(&NAMESPACES, request.name, "this namespace may not be deleted"));
        }
        let mut deleted = self.deleted.lock();
        deleted.retain(|_, when| when.elapsed() < DOUBT);
        deleted.insert(request.name.into(), Instant::now());
        Ok(())
    }

    /// Not plainly a write into a namespace that is there to stay, which most are.
    fn is_doubtful(&self, request: &AdmissionRequest<'_>) -> bool {
        if request.namespace.is_empty() || request.operation == Operation::Delete {
            return false;
        }
        let deleted = self.deleted.lock();
        (!deleted.is_empty() && deleted.contains_key(request.namespace))
            || self.objects.get(&NAMESPACES, "", request.namespace).is_none_or(|known| is_going(&known))
    }

    async fn namespace(&self, name: &str) -> Result<Arc<Value>, Status> {
        let doubtful = self.deleted.lock().get(name).is_some_and(|when| when.elapsed() < DOUBT);
        match self.objects.get(&NAMESPACES, "", name) {
            Some(known) if !doubtful || is_going(&known) => Ok(known),
            _ => {
                let found = self.objects.get_fresh(&NAMESPACES, "", name).await?;
                found.ok_or_else(|| Status::not_found(&NAMESPACES, name))
            }
        }
    }
}

fn is_going(namespace: &Value) -> bool {
    text(namespace, &["status", "phase"]) == "Terminating"
}

#[async_trait]
impl AdmissionPlugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && (is(request, "", "namespaces") || self.is_doubtful(request))
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if is(request, "", "namespaces") {
            return self.admit_namespace(request);
        }
        // A review answers the same for a namespace that is there and one that is not: names are no secret to leak.
        let review = is(request, "authorization.k8s.io", "localsubjectaccessreviews");
        if request.namespace.is_empty() || request.operation == Operation::Delete || review {
            return Ok(());
        }
        let namespace = self.namespace(request.namespace).await?;
        if !is_going(&namespace) || request.operation != Operation::Create {
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
