//! What counts as empty, and what an absent value reads as, in the terms of upstream's JSON encoder.

use serde_json::{Map, Value};

use crate::table::{Field, FieldKind, Type};

/// Whether upstream leaves this value out of JSON.
pub(crate) fn omitted(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if field.pointer() || !field.omitempty() => false,
        Value::Bool(set) => !set && field.kind == FieldKind::Bool,
        Value::Number(n) => n.as_f64() == Some(0.0) && is_number(&field.kind),
        Value::String(text) => text.is_empty() && is_text(&field.kind),
        Value::Array(list) => {
            list.is_empty() && matches!(field.kind, FieldKind::List(_) | FieldKind::WrappedStrings)
        }
        Value::Object(map) => map.is_empty() && matches!(field.kind, FieldKind::Map(_)),
    }
}

/// Whether this is a list of nothing that upstream prints as null: what it stores, in protobuf, does not know it from none. Items
/// of lists of objects are never stored.
pub(crate) fn lost(field: &Field, value: &Value) -> bool {
    let list = matches!(field.kind, FieldKind::List(_)) && !field.pointer() && field.tag > 0;
    list && field.json_name != "items" && value.as_array().is_some_and(Vec::is_empty)
}

/// Lists of which an empty one, in a request, is not the same as none: owners to be forgotten (KEP-555), and policies that are
/// none instead of the default ones.
pub(crate) fn means_something(ty: &Type, field: &Field) -> bool {
    match field.json_name {
        "managedFields" => true,
        "policies" => ty.name == "io.k8s.api.autoscaling.v2.HPAScalingRules",
        _ => false,
    }
}

/// Whether this is the zero value of a kind that protobuf always writes.
pub(crate) fn zero_scalar(kind: &FieldKind, value: &Value) -> bool {
    match value {
        Value::Bool(set) => !set && *kind == FieldKind::Bool,
        Value::Number(n) => n.as_f64() == Some(0.0) && is_number(kind),
        Value::String(text) => text.is_empty() && is_text(kind),
        _ => false,
    }
}

/// What a null in a list or a map reads as.
pub(crate) fn zero(kind: &FieldKind) -> Value {
    match kind {
        FieldKind::Bool => Value::Bool(false),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float | FieldKind::IntOrString => Value::from(0),
        FieldKind::String | FieldKind::Enum(_) | FieldKind::Bytes => Value::from(""),
        FieldKind::Struct(_) => Value::Object(Map::new()),
        FieldKind::Quantity => Value::from("0"),
        FieldKind::Duration => Value::from("0s"),
        FieldKind::WrappedStrings | FieldKind::List(_) => Value::Array(Vec::new()),
        FieldKind::Map(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn is_number(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float)
}

fn is_text(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::String | FieldKind::Enum(_) | FieldKind::Bytes)
}
