//! What is served at this moment, as admission and policies look at it.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupVersionKind, GroupVersionResource, Schema, Status};
use oarlock_apiserver_access::{ServedResource, Surface};
use serde_json::Value;

use super::{Catalogue, Served};
use crate::custom::Caller;

pub(crate) struct ServedSurface {
    pub(crate) resources: Arc<Catalogue>,
    pub(crate) conversions: Caller,
}

fn described(served: &Served) -> ServedResource {
    ServedResource {
        resource: served.gvr.clone(),
        kind: served.gvk.clone(),
        namespaced: served.api.namespaced,
    }
}

impl ServedSurface {
    /// The resource whose objects are of a kind; kinds that are only bodies of subresources have none.
    fn of_kind(&self, kind: &GroupVersionKind) -> Option<Arc<Served>> {
        self.resources.now().served().iter().find(|served| served.gvk == *kind).cloned()
    }
}

#[async_trait]
impl Surface for ServedSurface {
    fn resource_of_kind(&self, kind: &GroupVersionKind) -> Option<ServedResource> {
        self.of_kind(kind).as_deref().map(described)
    }

    fn resource(&self, resource: &GroupVersionResource) -> Option<ServedResource> {
        self.resources.find(&resource.group, &resource.version, &resource.resource).as_deref().map(described)
    }

    fn equivalents(&self, resource: &GroupVersionResource) -> Vec<ServedResource> {
        let now = self.resources.now();
        let Some(asked) = now.find(&resource.group, &resource.version, &resource.resource) else {
            return Vec::new();
        };
        let Some(stored) = &asked.stored else { return vec![described(asked)] };
        let same = |served: &&Arc<Served>| {
            served.stored.as_ref().is_some_and(|other| Arc::ptr_eq(&other.cache, &stored.cache))
        };
        now.served().iter().filter(same).map(|served| described(served)).collect()
    }

    fn schema(&self, kind: &GroupVersionKind) -> Option<Schema> {
        if let Some(served) = self.of_kind(kind) {
            return Some(served.schema());
        }
        oarlock_api::Table::builtin().type_for(kind).map(Schema::Typed)
    }

    async fn convert(&self, mut object: Value, to: &GroupVersionKind) -> Result<Value, Status> {
        let from = oarlock_api::meta::gvk(&object);
        if from == *to {
            return Ok(object);
        }
        let unknown = |kind: &GroupVersionKind| Status::internal(format!("no kind {kind} is served"));
        let source = self.of_kind(&from).ok_or_else(|| unknown(&from))?;
        let target = self.of_kind(to).ok_or_else(|| unknown(to))?;
        if let Some(custom) = &target.custom {
            let converted = crate::custom::to_version(custom, vec![object], &self.conversions).await?;
            return converted.into_iter().next().ok_or_else(|| Status::internal("a conversion gave nothing"));
        }
        if let Some(conversion) = source.conversion {
            conversion.to_stored(&mut object);
        }
        if let Some(conversion) = target.conversion {
            conversion.to_served(&mut object);
        }
        Ok(object)
    }
}
