//! Custom resources in the documents: what is told of them, and their schemas in both forms.
//!
//! Version 2 cannot say everything, and its readers stumble over some of what it can; what they cannot take is left out.

use serde_json::{Map, Value, json};

use super::Version;
use super::schema::{META, Schemas};

/// One version of a custom resource, as documents tell of it.
pub trait CustomApi: Send + Sync {
    fn group(&self) -> &str;
    fn version(&self) -> &str;
    fn plural(&self) -> &str;
    fn kind(&self) -> &str;
    fn list_kind(&self) -> &str;
    fn namespaced(&self) -> bool;
    fn has_status(&self) -> bool;
    fn has_scale(&self) -> bool;
    /// Nothing is pruned: `spec.preserveUnknownFields`.
    fn preserves_unknown(&self) -> bool;
    /// `spec.color`
    fn selectable_fields(&self) -> Vec<String>;
    /// The `openAPIV3Schema` of the definition, where it has one that is structural. Asked only while a document is written.
    fn schema(&self) -> Option<Value>;
    /// Changes with what is told of it.
    fn fingerprint(&self) -> u64;
}

/// What every object has.
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
     convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this \
     from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// What is no part of a schema in a document.
const LEFT_OUT: [&str; 8] = [
    "id",
    "$schema",
    "$ref",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
    "externalDocs",
];

/// `com.example.v1.CronTab`
pub(super) fn model_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// The definition of an object of a custom resource.
pub(super) fn object(api: &dyn CustomApi, version: Version, schemas: &mut Schemas<'_>) -> Value {
    let given = api.schema();
    let preserves = api.preserves_unknown()
        || given.as_ref().is_some_and(|schema| is_true(schema, "x-kubernetes-preserve-unknown-fields"));
    let mut schema = match given {
        Some(given) if !(version == Version::V2 && preserves) => {
            let mut schema = convert(given, version, schemas);
            add_object_fields(&mut schema, schemas);
            schema
        }
        _ => json!({"type": "object"}),
    };
    name(api, api.kind(), &mut schema);
    schema
}

/// The definition of a list of objects.
pub(super) fn list(api: &dyn CustomApi, schemas: &mut Schemas<'_>) -> Value {
    let item = schemas.reference(&model_name(api.group(), api.version(), api.kind()));
    let told = format!(
        "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
        api.plural()
    );
    let metadata = schemas.described(&format!("{META}ListMeta"), LIST_METADATA);
    let mut schema = json!({
        "description": format!("{} is a list of {}", api.list_kind(), api.kind()),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": metadata,
            "items": {"type": "array", "description": told, "items": item},
        },
    });
    name(api, api.list_kind(), &mut schema);
    schema
}

fn name(api: &dyn CustomApi, kind: &str, schema: &mut Value) {
    let gvk = json!({"group": api.group(), "version": api.version(), "kind": kind});
    schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    let fields: Vec<Value> =
        api.selectable_fields().into_iter().map(|field| json!({ "fieldPath": field })).collect();
    if !fields.is_empty() {
        schema["x-kubernetes-selectable-fields"] = Value::Array(fields);
    }
}

fn is_true(schema: &Value, field: &str) -> bool {
    schema.get(field) == Some(&Value::Bool(true))
}

fn add_object_fields(schema: &mut Value, schemas: &mut Schemas<'_>) {
    let metadata = schemas.described(&format!("{META}ObjectMeta"), METADATA);
    let Some(schema) = schema.as_object_mut() else { return };
    let Some(properties) = schema.entry("properties").or_insert_with(|| json!({})).as_object_mut() else {
        return;
    };
    properties.insert("apiVersion".into(), json!({"type": "string", "description": API_VERSION}));
    properties.insert("kind".into(), json!({"type": "string", "description": KIND}));
    properties.insert("metadata".into(), metadata);
}

/// A schema of a definition in the form of a document.
fn convert(schema: Value, version: Version, schemas: &mut Schemas<'_>) -> Value {
    let Value::Object(mut fields) = schema else { return schema };
    fields.retain(|name, value| !value.is_null() && !LEFT_OUT.contains(&name.as_str()));
    unfold(&mut fields);
    if version == Version::V2 {
        simplify(&mut fields);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = fields.get_mut(name) {
            *below = convert(below.take(), version, schemas);
        }
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|below| *below = convert(below.take(), version, schemas));
    }
    let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
    let embedded = is("x-kubernetes-embedded-resource")
        && !(version == Version::V2 && is("x-kubernetes-preserve-unknown-fields"));
    let mut schema = Value::Object(fields);
    if embedded {
        add_object_fields(&mut schema, schemas);
        require(&mut schema, &["kind", "apiVersion"]);
    }
    schema
}

fn require(schema: &mut Value, names: &[&str]) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(required) = fields.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        for name in names.iter().filter(|name| !required.contains(&Value::from(**name))).collect::<Vec<_>>() {
            required.push((*name).into());
        }
    }
}

/// `x-kubernetes-int-or-string` in the words of JSON Schema.
fn unfold(fields: &mut Map<String, Value>) {
    if fields.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true)) {
        return;
    }
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let said = fields.get("anyOf") == Some(&either)
        || fields.get("allOf").is_some_and(|all| all[0].get("anyOf") == Some(&either));
    if said {
        return;
    }
    if fields.contains_key("anyOf") {
        let all = fields.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.insert(0, json!({ "anyOf": either }));
        }
    } else {
        fields.insert("anyOf".into(), either);
    }
}

/// Leaves out what version 2, or its readers, cannot take.
fn simplify(fields: &mut Map<String, Value>) {
    for name in ["allOf", "oneOf", "anyOf", "not", "default"] {
        fields.remove(name);
    }
    let is = |fields: &Map<String, Value>, name: &str| fields.get(name) == Some(&Value::Bool(true));
    if is(fields, "nullable") {
        for name in ["type", "nullable", "items", "properties"] {
            fields.remove(name);
        }
    }
    fields.remove("nullable");
    let preserves = is(fields, "x-kubernetes-preserve-unknown-fields");
    if preserves {
        fields.remove("items");
        fields.remove("properties");
    }
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    if (kind == "array" && !fields.contains_key("items")) || (kind == "object" && preserves) {
        fields.remove("type");
    }
    let nullable = |name: &Value| {
        let below = name.as_str().and_then(|name| fields.get("properties")?.get(name));
        below.is_some_and(|below| is_true(below, "nullable"))
    };
    let values_nullable =
        fields.get("additionalProperties").is_some_and(|values| is_true(values, "nullable"));
    let required: Vec<Value> = match fields.get("required") {
        Some(Value::Array(names)) if !values_nullable => {
            names.iter().filter(|name| !nullable(name)).cloned().collect()
        }
        _ => Vec::new(),
    };
    if required.is_empty() {
        fields.remove("required");
    } else {
        fields.insert("required".into(), Value::Array(required));
    }
}
