//! What one request gives to expressions.

use oarlock_cel::{Activation, ResourceCheck};
use serde_json::{Map, Value};

use super::Asker;
use crate::facts::Facts;
use crate::matching::Matched;
use crate::versions::Versioned;
use crate::webhook::options;

/// Fields of a namespace's metadata that expressions see.
const NAMESPACE_METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
];

static NULL: Value = Value::Null;

/// The variables of one evaluation.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) objects: Versioned<'a>,
    /// See [`request_value`].
    pub(crate) request: &'a Value,
    /// See [`namespace_value`]; none of a cluster-scoped object.
    pub(crate) namespace: Option<&'a Value>,
    pub(crate) params: Option<&'a Value>,
}

impl<'a> Inputs<'a> {
    pub(crate) fn activation(&self, facts: &Facts<'_>, asker: &'a Asker) -> Activation<'a> {
        let mut activation = Activation::new();
        activation.json("object", self.objects.object.unwrap_or(&NULL));
        activation.json("oldObject", self.objects.old.unwrap_or(&NULL));
        activation.json("request", self.request);
        activation.json("namespaceObject", self.namespace.unwrap_or(&NULL));
        activation.json("params", self.params.unwrap_or(&NULL));
        activation.authorizer(asker);
        activation.request_resource(ResourceCheck {
            group: facts.resource.group.to_string(),
            resource: facts.resource.resource.to_string(),
            subresource: facts.subresource.to_string(),
            namespace: facts.namespace.to_string(),
            name: facts.name.to_string(),
            ..ResourceCheck::default()
        });
        activation
    }
}

/// The variable `request`.
pub(crate) fn request_value(facts: &Facts<'_>, matched: &Matched) -> Value {
    let mut request = facts.to_value(&matched.resource, &matched.kind);
    request.insert("options".into(), options(facts));
    // The type declares these as always there.
    request.entry("name").or_insert_with(|| "".into());
    Value::Object(request)
}

/// The variable `namespaceObject`.
pub(crate) fn namespace_value(namespace: &Value) -> Value {
    let mut metadata = Map::new();
    for field in NAMESPACE_METADATA {
        if let Some(value) = namespace["metadata"].get(field) {
            metadata.insert((*field).into(), value.clone());
        }
    }
    if let Some(uid) = namespace["metadata"].get("uid") {
        metadata.insert("uid".into(), uid.clone());
        metadata.insert("UID".into(), uid.clone());
    }
    let mut seen = Map::new();
    seen.insert("metadata".into(), metadata.into());
    for field in ["spec", "status"] {
        seen.insert(field.into(), namespace.get(field).cloned().unwrap_or_else(|| Map::new().into()));
    }
    seen.into()
}
