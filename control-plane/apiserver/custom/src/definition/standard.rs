//! Which parts of JSON Schema a definition may use.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::schema::Context;
use crate::value::{flag, items, text};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const UNSUPPORTED: [&str; 6] =
    ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

pub(super) fn has_unknown_type(schema: &Value) -> bool {
    let kind = text(&schema["type"]);
    !kind.is_empty() && !TYPES.contains(&kind)
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

pub(super) fn validate(
    schema: &Value,
    path: &Path,
    context: &Context,
    known_types: bool,
    errors: &mut FieldErrors,
) {
    if known_types && has_unknown_type(schema) {
        errors.push(FieldError::not_supported(path.child("type"), text(&schema["type"]), &TYPES));
    }
    if let Some(reason) = &context.no_defaults
        && schema.get("default").is_some_and(|default| !default.is_null())
    {
        let detail = format!("must not be set {reason}");
        errors.push(FieldError::forbidden(path.child("default"), detail));
    }
    for field in UNSUPPORTED {
        if is_given(&schema[field]) {
            errors.push(FieldError::forbidden(path.child(field), format!("{field} is not supported")));
        }
    }
    if text(&schema["type"]) == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(path.child("type"), detail));
    }
    if !items(&schema["items"]).is_empty() {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(path.child("items"), detail));
    }
    if context.inside_metadata && flag(&schema["x-kubernetes-embedded-resource"]) {
        let detail = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(path.child("x-kubernetes-embedded-resource"), detail));
    }
}
