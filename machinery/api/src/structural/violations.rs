//! What keeps a schema from being structural. (KEP-1693; `apiextensions-apiserver/pkg/apiserver/schema`)

use serde_json::{Map, Value, json};

use super::parse::DEPTH_MAX;
use crate::field::{FieldError, FieldErrors, Path};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything that is wrong, sorted by its text.
pub(super) fn of(schema: &Value, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    invariants(schema, Level::Root, path, 0, &mut errors);
    for (junctor, at) in junctors(schema, path) {
        complete(junctor, Some(schema), path, &at, 0, &mut errors);
    }
    let mut sorted: Vec<(String, FieldError)> = errors.into_iter().map(|e| (e.to_string(), e)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.into_iter().map(|(_, error)| error).collect()
}

fn kind(schema: &Value) -> &str {
    schema["type"].as_str().unwrap_or_default()
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// `additionalProperties`, where it says something.
fn additional(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|value| value.is_object() || value.is_boolean())
}

/// The schemas under `anyOf`, `allOf`, `oneOf` and `not`.
fn junctors<'s>(schema: &'s Value, path: &Path) -> Vec<(&'s Value, Path)> {
    let mut all = Vec::new();
    for name in ["anyOf", "allOf", "oneOf"] {
        let at = path.child(name);
        let listed = schema[name].as_array().into_iter().flatten().enumerate();
        all.extend(listed.map(|(index, nested)| (nested, at.index(index))));
    }
    if let Some(nested) = schema.get("not").filter(|nested| nested.is_object()) {
        all.push((nested, path.child("not")));
    }
    all
}

fn invariants(schema: &Value, level: Level, path: &Path, depth: usize, errors: &mut FieldErrors) {
    if depth > DEPTH_MAX {
        errors.push(FieldError::forbidden(path.clone(), "schemas may not be nested deeper"));
        return;
    }
    let items = schema.get("items").filter(|items| items.is_object());
    if let Some(items) = items {
        invariants(items, Level::Item, &path.child("items"), depth + 1, errors);
    } else if kind(schema) == "array" {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    for (name, property) in properties(schema) {
        invariants(property, Level::Field, &path.child("properties").key(name), depth + 1, errors);
    }
    if let Some(additional) = additional(schema) {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(path.clone(), "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &path, depth + 1, errors);
        }
    }
    extensions(schema, path, errors);
    values(schema, path, depth, errors);
    node_type(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

fn extensions(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let detail = "must be false if x-kubernetes-int-or-string is true";
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(schema, "x-kubernetes-int-or-string") && flag(schema, name) {
            errors.push(FieldError::invalid(path.child(name), true, detail));
        }
    }
}

fn node_type(schema: &Value, level: Level, path: &Path, errors: &mut FieldErrors) {
    let (kind, at) = (kind(schema), path.child("type"));
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(at.clone(), detail)
        } else {
            FieldError::invalid(at.clone(), kind, detail)
        });
    } else if kind.is_empty() && !preserves && !flag(schema, "x-kubernetes-int-or-string") {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(at.clone(), detail));
    }
    if embedded && additional(schema).is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(at, kind, "must be object at the root"));
    }
    if embedded && !preserves && properties(schema).next().is_none() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), detail));
    }
}

/// What a schema may say of the fields that every object has.
fn metadata(schema: &Value, level: Level, path: &Path, errors: &mut FieldErrors) {
    let is_object = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let at = |name: &str| path.child("properties").key(name);
    let mut wants = |name: &str, wanted: &str, detail: &str| {
        if let Some(property) = schema["properties"].get(name)
            && is_object
            && kind(property) != wanted
        {
            errors.push(FieldError::invalid(at(name).child("type"), kind(property), detail));
        }
    };
    wants("kind", "string", "must be string");
    wants("apiVersion", "string", "must be string");
    wants("metadata", "object", "must be object");
    if let Some(metadata) = schema["properties"].get("metadata")
        && level == Level::Root
        && !is_plain_metadata(metadata)
    {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(at("metadata"), detail));
    }
}

fn is_plain_metadata(metadata: &Value) -> bool {
    let Value::Object(fields) = metadata else { return true };
    let says_nothing = |value: &Value| {
        value.is_null() || value == false || value == "" || value == &json!([]) || value == &json!({})
    };
    fields.iter().all(|(name, value)| match name.as_str() {
        "type" | "default" => true,
        "properties" => value
            .as_object()
            .is_none_or(|all| all.keys().all(|name| name == "name" || name == "generateName")),
        _ => says_nothing(value),
    })
}

/// `anyOf: [{type: integer}, {type: string}]`, alone or first under `allOf`: what int-or-string may say of types.
fn is_int_or_string(any_of: &Value) -> bool {
    *any_of == json!([{"type": "integer"}, {"type": "string"}])
}

fn values(schema: &Value, path: &Path, depth: usize, errors: &mut FieldErrors) {
    let skip_any = is_int_or_string(&schema["anyOf"]);
    let skip_first = is_int_or_string(&schema["allOf"][0]["anyOf"]);
    value_validation(schema, (skip_any, skip_first), path, depth, errors);
}

fn value_validation(
    schema: &Value,
    (skip_any, skip_first): (bool, bool),
    path: &Path,
    depth: usize,
    errors: &mut FieldErrors,
) {
    for (nested, at) in junctors(schema, path) {
        let in_any = at.as_str().len() > path.as_str().len()
            && at.as_str()[path.as_str().len()..].trim_start_matches('.').starts_with("anyOf[");
        if in_any && skip_any {
            continue;
        }
        let first = skip_first && std::ptr::eq(nested, &schema["allOf"][0]);
        nested_validation(nested, first, &at, depth + 1, errors);
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(fault) = super::pattern::compile(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {fault}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern, detail));
    }
}

const MUST_BE_EMPTY: [(&str, &str); 10] = [
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];

fn says(schema: &Map<String, Value>, name: &str) -> bool {
    match schema.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty() || name == "default",
        Some(Value::Array(list)) => !list.is_empty() || name == "default",
        Some(_) => true,
    }
}

fn nested_validation(schema: &Value, skip_any: bool, path: &Path, depth: usize, errors: &mut FieldErrors) {
    let Value::Object(fields) = schema else { return };
    if depth > DEPTH_MAX {
        errors.push(FieldError::forbidden(path.clone(), "schemas may not be nested deeper"));
        return;
    }
    value_validation(schema, (skip_any, false), path, depth, errors);
    if schema["items"].is_object() {
        nested_validation(&schema["items"], false, &path.child("items"), depth + 1, errors);
    }
    for (name, property) in properties(schema) {
        nested_validation(property, false, &path.child("properties").key(name), depth + 1, errors);
    }
    if says(fields, "type") {
        errors.push(FieldError::forbidden(path.child("type"), "must be empty to be structural"));
    }
    if additional(schema).is_some() {
        let detail = "must be undefined to be structural";
        errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
    }
    for (name, detail) in MUST_BE_EMPTY {
        if says(fields, name) {
            errors.push(FieldError::forbidden(path.child(name), detail));
        }
    }
    if says(fields, "x-kubernetes-validations") {
        let detail = "must be empty to be structural";
        errors.push(FieldError::forbidden(path.child("x-kubernetes-validations"), detail));
    }
    if schema["properties"].get("metadata").is_some() {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(path.child("properties").key("metadata"), detail));
    }
}

/// Every field that a nested schema speaks of exists in the structure beside it.
fn complete(
    nested: &Value,
    structure: Option<&Value>,
    at: &Path,
    nested_at: &Path,
    depth: usize,
    errors: &mut FieldErrors,
) {
    let Some(structure) = structure else {
        errors.push(FieldError::required(at.clone(), format!("because it is defined in {nested_at}")));
        return;
    };
    if depth > DEPTH_MAX {
        return;
    }
    for (junctor, path) in junctors(nested, nested_at) {
        complete(junctor, Some(structure), at, &path, depth + 1, errors);
    }
    if nested["items"].is_object() {
        let items = structure.get("items").filter(|items| items.is_object());
        complete(&nested["items"], items, &at.child("items"), &nested_at.child("items"), depth + 1, errors);
    }
    for (name, property) in properties(nested) {
        let known = structure["properties"].get(name);
        let (at, nested_at) = (at.child("properties").key(name), nested_at.child("properties").key(name));
        complete(property, known, &at, &nested_at, depth + 1, errors);
    }
}
