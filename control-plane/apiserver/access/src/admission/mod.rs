//! What may go into the store, and what is filled in on the way: one plugin a file, run in upstream's order.

mod default_toleration_seconds;
mod namespace_lifecycle;
mod node_restriction;
mod priority;
mod rbac_escalation;
mod service_account;
mod taint_nodes_by_condition;

use std::fmt::Display;
use std::sync::Arc;

use oarlock_api::Status;

pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_restriction::NodeRestriction;
pub use priority::Priority;
pub use rbac_escalation::RbacEscalation;
pub use service_account::ServiceAccount;
pub use taint_nodes_by_condition::TaintNodesByCondition;

use crate::authorization::Rbac;
use crate::types::{AdmissionPlugin, AdmissionRequest, Authorizer, Objects, Operation};
use crate::value::{name, text};

/// The plugins of a server, in order.
pub struct AdmissionChain {
    plugins: Vec<Arc<dyn AdmissionPlugin>>,
}

impl AdmissionChain {
    pub fn new(plugins: Vec<Arc<dyn AdmissionPlugin>>) -> Self {
        Self { plugins }
    }

    pub fn upstream(objects: Arc<dyn Objects>, rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self::new(upstream_plugins(objects, rbac, authorizer))
    }

    /// Whether any plugin looks at the operation at all.
    pub fn handles(&self, operation: Operation) -> bool {
        self.plugins.iter().any(|plugin| plugin.handles(operation))
    }

    /// The first half: plugins may change the object. The first refusal ends it.
    pub async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let operation = request.operation;
        for plugin in self.plugins.iter().filter(|plugin| plugin.handles(operation)) {
            plugin.mutate(request).await?;
        }
        Ok(())
    }

    /// The second half, on the object as it will be stored.
    pub async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        for plugin in self.plugins.iter().filter(|plugin| plugin.handles(request.operation)) {
            plugin.validate(request).await?;
        }
        Ok(())
    }
}

/// The plugins that upstream runs by default (as far as they exist here), in its order; the RBAC checks, which upstream
/// has in its storage layer, last.
pub fn upstream_plugins(
    objects: Arc<dyn Objects>,
    rbac: Arc<Rbac>,
    authorizer: Arc<dyn Authorizer>,
) -> Vec<Arc<dyn AdmissionPlugin>> {
    vec![
        Arc::new(NamespaceLifecycle::new(objects.clone())),
        Arc::new(ServiceAccount::new(objects.clone())),
        Arc::new(NodeRestriction::new(objects.clone(), authorizer.clone())),
        Arc::new(TaintNodesByCondition),
        Arc::new(Priority::new(objects)),
        Arc::new(DefaultTolerationSeconds),
        Arc::new(RbacEscalation::new(rbac, authorizer)),
    ]
}

/// The resource of a request is this one, and no subresource of it.
fn is_main(request: &AdmissionRequest<'_>, group: &str, resource: &str) -> bool {
    is(request, group, resource) && request.subresource.is_empty()
}

fn is(request: &AdmissionRequest<'_>, group: &str, resource: &str) -> bool {
    *request.resource.group == *group && *request.resource.resource == *resource
}

/// The name in the path, or where there is none the object's.
fn name_of<'a>(request: &'a AdmissionRequest<'_>) -> &'a str {
    match (request.name, request.object.as_deref()) {
        ("", Some(object)) => name(object),
        (name, _) => name,
    }
}

/// `pods "x" is forbidden: why`. Before a name is generated, its prefix stands for it.
fn refuse(request: &AdmissionRequest<'_>, why: impl Display) -> Status {
    let prefix =
        request.object.as_deref().map(|o| text(o, &["metadata", "generateName"])).unwrap_or_default();
    let name = match (name_of(request), prefix) {
        ("", "") => "Unknown",
        ("", prefix) => prefix,
        (name, _) => name,
    };
    Status::forbidden(&request.resource.group_resource(), name, why)
}

#[cfg(test)]
mod tests;
