//! What the OpenAPI documents are told of a version.

use std::hash::{DefaultHasher, Hash, Hasher};

use oarlock_api::openapi::CustomApi;
use oarlock_api::structural::Structural;
use serde_json::Value;

use crate::compile::CustomVersion;

impl CustomApi for CustomVersion {
    fn group(&self) -> &str {
        &self.gvk.group
    }

    fn version(&self) -> &str {
        &self.gvk.version
    }

    fn plural(&self) -> &str {
        &self.plural
    }

    fn kind(&self) -> &str {
        &self.gvk.kind
    }

    fn list_kind(&self) -> &str {
        &self.list_kind
    }

    fn namespaced(&self) -> bool {
        self.namespaced
    }

    fn has_status(&self) -> bool {
        self.status
    }

    fn has_scale(&self) -> bool {
        self.scale.is_some()
    }

    fn preserves_unknown(&self) -> bool {
        self.preserve_unknown
    }

    fn selectable_fields(&self) -> Vec<String> {
        self.selectable.iter().map(|field| field.name.to_string()).collect()
    }

    fn schema(&self) -> Option<Value> {
        let schema = self.schema_source()?;
        // Others were accepted only with a structural schema.
        (!self.preserve_unknown || Structural::parse(&schema).is_ok()).then_some(schema)
    }

    fn fingerprint(&self) -> u64 {
        // Built without a seed of its own: the same in every process of one build.
        let mut hasher = DefaultHasher::new();
        (&*self.gvk.kind, &self.list_kind, &self.plural, self.namespaced).hash(&mut hasher);
        (self.status, self.scale.is_some(), self.preserve_unknown).hash(&mut hasher);
        self.selectable.iter().for_each(|field| field.name.hash(&mut hasher));
        self.source.as_ref().map(crate::source::Packed::bytes).hash(&mut hasher);
        hasher.finish()
    }
}
