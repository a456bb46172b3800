//! OwnerReferencesPermissionEnforcement: whoever hands an object to another owner could have deleted it, and whoever
//! blocks an owner's deletion may set its finalizers. Off by default.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupVersionKind, Status};
use serde_json::Value;

use super::refuse;
use crate::types::{
    AdmissionPlugin, AdmissionRequest, Attributes, Authorizer, Decision, Operation, Phase, Surface,
};
use crate::value::{items, name, text};

pub struct OwnerReferencesPermissionEnforcement {
    authorizer: Arc<dyn Authorizer>,
    surface: Arc<dyn Surface>,
}

impl OwnerReferencesPermissionEnforcement {
    pub fn new(authorizer: Arc<dyn Authorizer>, surface: Arc<dyn Surface>) -> Self {
        Self { authorizer, surface }
    }

    async fn may(&self, asked: Attributes) -> Result<(), String> {
        match self.authorizer.authorize(&asked).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(reason),
        }
    }

    /// Who blocks an owner's deletion could have blocked it by a finalizer.
    async fn may_block(&self, request: &AdmissionRequest<'_>, owner: &Value) -> Result<(), Status> {
        let kind = GroupVersionKind::from_api_version(text(owner, &["apiVersion"]), text(owner, &["kind"]));
        let unknown = || {
            let why = format!("no matches for kind {:?} in version {:?}", &*kind.kind, kind.api_version());
            refuse(
                request,
                format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {} Kind {}: {why}",
                    kind.api_version(),
                    kind.kind
                ),
            )
        };
        let served = self.surface.resource_of_kind(&kind).ok_or_else(unknown)?;
        let asked = Attributes {
            verb: "update".into(),
            group: served.resource.group.to_string(),
            version: served.resource.version.to_string(),
            resource: served.resource.resource.to_string(),
            subresource: "finalizers".into(),
            namespace: if served.namespaced { request.namespace.into() } else { String::new() },
            name: text(owner, &["name"]).into(),
            ..attributes(request, "update")
        };
        self.may(asked).await.map_err(|reason| {
            // As upstream prints it, the error that there is none of included.
            refuse(
                request,
                format!(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers \
                     on: {reason}, <nil>"
                ),
            )
        })
    }
}

fn attributes(request: &AdmissionRequest<'_>, verb: &str) -> Attributes {
    let object_name = request.old_object.map(name).unwrap_or(request.name);
    Attributes {
        group: request.resource.group.to_string(),
        version: request.resource.version.to_string(),
        resource: request.resource.resource.to_string(),
        namespace: request.namespace.into(),
        name: object_name.into(),
        ..Attributes::of_resources(request.user.clone(), verb)
    }
}

fn owners(object: Option<&Value>) -> &[Value] {
    object.map(|object| items(object, &["metadata", "ownerReferences"])).unwrap_or_default()
}

fn blocks(owner: &Value) -> bool {
    owner["blockOwnerDeletion"] == true
}

/// References that block now and did not before.
fn newly_blocking<'a>(new: &'a [Value], old: &[Value]) -> impl Iterator<Item = &'a Value> {
    let blocked: Vec<&str> = old.iter().filter(|o| blocks(o)).map(|o| text(o, &["uid"])).collect();
    let blocked: Vec<String> = blocked.into_iter().map(str::to_string).collect();
    new.iter().filter(move |owner| blocks(owner) && !blocked.iter().any(|uid| uid == text(owner, &["uid"])))
}

#[async_trait]
impl AdmissionPlugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && owners(request.object.as_deref()) != owners(request.old_object)
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (new, old) = (owners(request.object.as_deref()), owners(request.old_object));
        if request.operation == Operation::Update {
            let asked = attributes(request, "delete");
            self.may(asked).await.map_err(|reason| {
                let why = format!("cannot set an ownerRef on a resource you can't delete: {reason}, <nil>");
                refuse(request, why)
            })?;
        }
        let blocking: Vec<&Value> = newly_blocking(new, old).collect();
        for owner in blocking {
            self.may_block(request, owner).await?;
        }
        Ok(())
    }
}
