//! What Go calls values and types; its names end in the errors that clients see.

use serde_json::Value;

use crate::table::{FieldKind, Table};

/// What a Go error calls a value.
pub(super) fn value_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The Go name of what a kind decodes into.
pub(super) fn type_name(table: &Table, kind: &FieldKind) -> String {
    match kind {
        FieldKind::Bool => "bool".into(),
        FieldKind::Int32 => "int32".into(),
        FieldKind::Int64 => "int64".into(),
        FieldKind::Float => "float64".into(),
        FieldKind::String => "string".into(),
        FieldKind::Enum(id) => package_and_name(table.named_string(*id).name),
        FieldKind::Bytes => "[]uint8".into(),
        FieldKind::Struct(id) => package_and_name(table.ty(*id).name),
        FieldKind::List(element) => format!("[]{}", type_name(table, element)),
        FieldKind::Map(value) => format!("map[string]{}", type_name(table, value)),
        FieldKind::WrappedStrings => "[]string".into(),
        FieldKind::Quantity => "resource.Quantity".into(),
        FieldKind::IntOrString => "intstr.IntOrString".into(),
        FieldKind::Time => "v1.Time".into(),
        FieldKind::MicroTime => "v1.MicroTime".into(),
        FieldKind::Duration => "v1.Duration".into(),
        FieldKind::RawExtension => "runtime.RawExtension".into(),
        FieldKind::FieldsV1 => "v1.FieldsV1".into(),
        FieldKind::Json => "v1.JSON".into(),
        FieldKind::Any => "interface {}".into(),
        FieldKind::SchemaOrArray(id) => format!("{}OrArray", package_and_name(table.ty(*id).name)),
        FieldKind::SchemaOrBool(id) => format!("{}OrBool", package_and_name(table.ty(*id).name)),
        FieldKind::SchemaOrStrings(id) => format!("{}OrStringArray", package_and_name(table.ty(*id).name)),
    }
}

/// `io.k8s.api.core.v1.Protocol` → `v1.Protocol`.
fn package_and_name(full: &str) -> String {
    full.rsplitn(3, '.').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(".")
}
