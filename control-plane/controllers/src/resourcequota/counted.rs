//! Objects as a quota's monitor keeps them: who they are, and their facts.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use oarlock_quota::Facts;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// With `META` only metadata is asked for: enough for what counts by its number.
#[derive(Debug, Clone)]
pub(super) struct Counted<const META: bool> {
    pub(super) metadata: ObjectMeta,
    /// The object as it came, until its facts are taken from it.
    pub(super) object: Value,
    pub(super) facts: Option<Facts>,
}

impl<'de, const META: bool> Deserialize<'de> for Counted<META> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_string);
        let metadata = ObjectMeta {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object, facts: None })
    }
}

impl<const META: bool> Resource for Counted<META> {
    type DynamicType = ApiResource;
    type Scope = NamespaceResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn metadata_api() -> bool {
        META
    }
}
