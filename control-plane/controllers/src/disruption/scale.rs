//! How many pods the owners of a budget's pods want: from the caches where these hold the owner, else through the scale
//! subresource, which any kind may have.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResourceList, OwnerReference};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use oarlock_client::{Store, controller_of, is_not_found};
use parking_lot::Mutex;
use thiserror::Error;

use crate::common::error_text;
use crate::common::pods::name;
use crate::replicaset::owned_set;

/// The messages are upstream's: they stand in events and in the condition.
#[derive(Debug, Error)]
pub(super) enum ScaleError {
    #[error("found no controllers for pod {0:?}")]
    NoController(String),
    #[error("no matches for kind {kind:?} in version {version:?}")]
    NoKind { kind: String, version: String },
    #[error("{0} does not implement the scale subresource")]
    NoScale(String),
    #[error("{}", error_text(.0))]
    Api(kube::Error),
}

/// What the owners of some pods want together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) replicas: i32,
    /// Whether some of the pods have no owner.
    pub(super) unmanaged: bool,
}

pub(super) struct Scales {
    pub(super) client: Client,
    pub(super) controllers: Store<ReplicationController>,
    pub(super) sets: Store<ReplicaSet>,
    pub(super) deployments: Store<Deployment>,
    /// The resources of kinds that can be scaled, by apiVersion and kind.
    pub(super) scalable: Mutex<HashMap<(String, String), ApiResource>>,
}

impl Scales {
    pub(super) async fn of(&self, pods: &[Arc<Pod>]) -> Result<Scale, ScaleError> {
        let mut scale = Scale::default();
        // Uids of the pods' owners already looked up, and of what is counted for them.
        let (mut seen, mut counted) = (Vec::new(), Vec::new());
        for pod in pods {
            let Some(owner) = controller_of(&pod.metadata) else {
                scale.unmanaged = true;
                continue;
            };
            if seen.contains(&owner.uid.as_str()) {
                continue;
            }
            let found = match self.cached(owner, pod) {
                Some(found) => Some(found),
                None => self.asked(owner, pod.metadata.namespace.as_deref().unwrap_or_default()).await?,
            };
            let (uid, replicas) = found.ok_or_else(|| ScaleError::NoController(name(pod).to_string()))?;
            seen.push(&owner.uid);
            if !counted.contains(&uid) {
                counted.push(uid);
                scale.replicas = scale.replicas.saturating_add(replicas);
            }
        }
        Ok(scale)
    }

    /// Uid and replicas of the owner, or of the deployment that owns it.
    fn cached(&self, owner: &OwnerReference, pod: &Pod) -> Option<(String, i32)> {
        let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        if group.is_empty() {
            let found = owned_set(&self.controllers, owner, &pod.metadata)?;
            return Some((owner.uid.clone(), found.spec.as_ref()?.replicas.unwrap_or(1)));
        }
        if !is_apps(group) {
            return None;
        }
        let set = owned_set(&self.sets, owner, &pod.metadata)?;
        match controller_of(&set.metadata).filter(|above| above.kind == "Deployment") {
            None => Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1))),
            Some(above) => {
                let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
                let deployment = self.deployments.get(namespace, &above.name)?;
                let same = deployment.metadata.uid.as_deref() == Some(&above.uid);
                let replicas = deployment.spec.as_ref()?.replicas.unwrap_or(1);
                same.then(|| (above.uid.clone(), replicas))
            }
        }
    }

    async fn asked(
        &self,
        owner: &OwnerReference,
        namespace: &str,
    ) -> Result<Option<(String, i32)>, ScaleError> {
        let resource = self.scalable(owner).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let scale = match api.get_scale(&owner.name).await {
            Err(error) if is_not_found(&error) => return Ok(None),
            scale => scale.map_err(ScaleError::Api)?,
        };
        let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or_default();
        Ok((scale.metadata.uid.as_deref() == Some(&owner.uid)).then(|| (owner.uid.clone(), replicas)))
    }

    async fn scalable(&self, owner: &OwnerReference) -> Result<ApiResource, ScaleError> {
        let key = (owner.api_version.clone(), owner.kind.clone());
        if let Some(known) = self.scalable.lock().get(&key) {
            return Ok(known.clone());
        }
        let asked = if owner.api_version.contains('/') {
            self.client.list_api_group_resources(&owner.api_version).await
        } else {
            self.client.list_core_api_resources(&owner.api_version).await
        };
        let served = match asked {
            Err(error) if is_not_found(&error) => APIResourceList::default(),
            served => served.map_err(ScaleError::Api)?,
        };
        let found = scalable_in(&served, owner)?;
        self.scalable.lock().insert(key, found.clone());
        Ok(found)
    }
}

fn is_apps(group: &str) -> bool {
    matches!(group, "apps" | "extensions")
}

/// The resource of the owner's kind, if it can be scaled.
fn scalable_in(served: &APIResourceList, owner: &OwnerReference) -> Result<ApiResource, ScaleError> {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let resource = served.resources.iter().find(|it| it.kind == owner.kind && !it.name.contains('/'));
    let Some(resource) = resource else {
        return Err(ScaleError::NoKind { kind: owner.kind.clone(), version: owner.api_version.clone() });
    };
    let subresource = format!("{}/scale", resource.name);
    if !served.resources.iter().any(|it| it.name == subresource && it.kind == "Scale") {
        let dot = if group.is_empty() { "" } else { "." };
        return Err(ScaleError::NoScale(format!("{}{dot}{group}", resource.name)));
    }
    let gvk = GroupVersionKind::gvk(group, version, &owner.kind);
    Ok(ApiResource::from_gvk_with_plural(&gvk, &resource.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_can_be_scaled() {
        let served: APIResourceList = serde_json::from_value(json!({
            "kind": "APIResourceList", "groupVersion": "batch/v1", "resources": [
                {"name": "jobs", "kind": "Job", "namespaced": true, "singularName": "job", "verbs": []},
                {"name": "crews", "kind": "Crew", "namespaced": true, "singularName": "crew", "verbs": []},
                {"name": "crews/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "namespaced": true,
                 "singularName": "", "verbs": []},
            ],
        }))
        .expect("a list");
        for (kind, expected) in [
            ("Crew", "crews"),
            ("Job", "jobs.batch does not implement the scale subresource"),
            ("Navy", "no matches for kind \"Navy\" in version \"batch/v1\""),
        ] {
            let owner = OwnerReference {
                api_version: "batch/v1".into(),
                kind: kind.into(),
                ..OwnerReference::default()
            };
            let told = scalable_in(&served, &owner)
                .map_or_else(|error| error.to_string(), |resource| resource.plural);
            assert_eq!(told, expected);
        }
    }
}
