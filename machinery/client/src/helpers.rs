//! Small things that every control loop needs: what an error means, references between objects, careful writes.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How often an update is tried when others write the same object (upstream's `DefaultRetry`: 5 steps).
const CONFLICT_TRIES: usize = 5;

fn is_api(error: &kube::Error, code: u16, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == reason || (status.reason.is_empty() && status.code == code))
}

pub fn is_not_found(error: &kube::Error) -> bool {
    is_api(error, 404, "NotFound")
}

pub fn is_conflict(error: &kube::Error) -> bool {
    is_api(error, 409, "Conflict")
}

pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == "AlreadyExists")
}

pub fn is_forbidden(error: &kube::Error) -> bool {
    is_api(error, 403, "Forbidden")
}

/// The resourceVersion (or continue token) is too old.
pub fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410 || status.reason == "Expired" || status.reason == "Gone")
}

/// A create was refused because the namespace is being deleted: no use in trying again.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    is_forbidden(error) && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The reference by which `owner` controls an object: `controller` and `blockOwnerDeletion` are true, as in upstream's
/// `NewControllerRef`.
pub fn owner_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    let meta = owner.meta();
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the controller of an object, if one controls it.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_deref().unwrap_or_default().iter().find(|owner| owner.controller == Some(true))
}

/// What an event is about.
pub fn object_ref<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference { resource_version: meta.resource_version.clone(), ..object.object_ref(&()) }
}

/// Merges `status` into the object's status.
pub async fn patch_status<K>(api: &Api<K>, name: &str, status: Value) -> kube::Result<K>
where
    K: Clone + DeserializeOwned + Debug,
{
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({ "status": status }))).await
}

/// Reads, changes and writes an object, and does so again when another writer was faster. `change` says whether there
/// is anything to write.
pub async fn update_with_retry_on_conflict<K>(
    api: &Api<K>,
    name: &str,
    mut change: impl FnMut(&mut K) -> bool,
) -> kube::Result<K>
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let mut tries = 1;
    loop {
        let mut object = api.get(name).await?;
        if !change(&mut object) {
            return Ok(object);
        }
        match api.replace(name, &PostParams::default(), &object).await {
            Err(error) if is_conflict(&error) && tries < CONFLICT_TRIES => tries += 1,
            written => return written,
        }
    }
}
