//! Whether a tree is already what reading it would make of it. Most trees that a patch or an apply leaves behind are, and are
//! then kept instead of built again.

use serde_json::Value;

use super::super::{empty, text};
use crate::table::{FieldKind, Table, Type};

/// Whether reading this value as this kind gives the same value, and no complaint. `false` says nothing.
pub(super) fn fits(table: &Table, kind: &FieldKind, value: &Value) -> bool {
    match (kind, value) {
        (
            FieldKind::RawExtension | FieldKind::FieldsV1 | FieldKind::Json | FieldKind::Any,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
        )
        | (FieldKind::Bool, Value::Bool(_))
        | (FieldKind::String | FieldKind::Enum(_) | FieldKind::IntOrString, Value::String(_)) => true,
        (FieldKind::Int64 | FieldKind::Float, Value::Number(n)) => n.is_i64(),
        (FieldKind::Int32 | FieldKind::IntOrString, Value::Number(n)) => {
            n.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
        }
        (_, Value::String(said)) => canonical(kind, said).is_some_and(|canonical| canonical == *said),
        (FieldKind::List(element), Value::Array(items)) => {
            items.iter().all(|item| !item.is_null() && fits(table, element, item))
        }
        (FieldKind::WrappedStrings, Value::Array(items)) => items.iter().all(Value::is_string),
        (FieldKind::Map(kind), Value::Object(entries)) => {
            entries.values().all(|value| !value.is_null() && fits(table, kind, value))
        }
        (FieldKind::Struct(id), Value::Object(fields)) => {
            let ty = table.ty(*id);
            fields.iter().all(|(name, value)| fits_field(table, ty, name, value))
        }
        _ => false,
    }
}

fn fits_field(table: &Table, ty: &Type, name: &str, value: &Value) -> bool {
    ty.field(name).is_some_and(|field| {
        !empty::omitted(field, value) && !empty::lost(field, value) && fits(table, &field.kind, value)
    })
}

fn canonical(kind: &FieldKind, said: &str) -> Option<String> {
    match kind {
        FieldKind::Bytes => text::base64(said),
        FieldKind::Quantity => text::quantity(said),
        FieldKind::Time => text::time(said),
        FieldKind::MicroTime => text::micro_time(said),
        FieldKind::Duration => text::duration(said),
        _ => return None,
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::decode_value;
    use super::*;
    use crate::gvk::GroupVersionKind;

    /// Whether this is kept, and that what is kept is what reading it would give.
    #[track_caller]
    fn check(api_version: &str, kind: &str, mut object: Value, kept: bool) {
        let table = Table::builtin();
        let ty =
            table.type_for(&GroupVersionKind::from_api_version(api_version, kind)).expect("it is built in");
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        assert_eq!(fits(table, &FieldKind::Struct(ty), &object), kept, "{object}");
        let read = decode_value(table, ty, &object);
        let same = read.is_ok_and(|read| read.value == object && read.strict.is_empty());
        assert!(same || !kept, "{object}");
    }

    #[test]
    fn what_reading_would_change_is_not_kept() {
        let meta = |more: Value| json!({ "metadata": more });
        check("v1", "ConfigMap", json!({ "metadata": { "name": "a" }, "data": { "a": "b", "c": "" } }), true);
        check("v1", "ConfigMap", meta(json!({ "creationTimestamp": "2026-01-02T03:04:05Z" })), true);
        check("v1", "ConfigMap", meta(json!({ "managedFields": [{ "fieldsV1": { "f:data": {} } }] })), true);
        check("v1", "Pod", json!({ "spec": { "containers": [{ "name": "a", "resources": {} }] } }), true);
        check("v1", "Pod", json!({ "spec": { "terminationGracePeriodSeconds": 0 } }), true);
        check("v1", "Service", json!({ "spec": { "ports": [{ "port": 80, "targetPort": "web" }] } }), true);

        check("v1", "ConfigMap", json!({ "data": null }), false);
        check("rbac.authorization.k8s.io/v1", "Role", json!({ "rules": [] }), false);
        check("v1", "ConfigMap", json!({ "data": {} }), false);
        check("v1", "ConfigMap", json!({ "data": { "a": null } }), false);
        check("v1", "ConfigMap", json!({ "data": { "a": 1 } }), false);
        check("v1", "ConfigMap", json!({ "other": 1 }), false);
        check("v1", "ConfigMap", json!({ "binaryData": { "a": "?" } }), false);
        check("v1", "ConfigMap", meta(json!({ "name": "" })), false);
        check("v1", "ConfigMap", meta(json!({ "finalizers": [null] })), false);
        check("v1", "ConfigMap", meta(json!({ "creationTimestamp": "2026-01-02T03:04:05+01:00" })), false);
        check("v1", "ConfigMap", meta(json!({ "managedFields": [] })), false);
        check("v1", "Service", json!({ "spec": { "ports": [{ "port": 3_000_000_000_u32 }] } }), false);
        check("v1", "Service", json!({ "spec": { "ports": [{ "port": 80, "nodePort": 0 }] } }), false);
        check("v1", "PersistentVolume", json!({ "spec": { "capacity": { "storage": "1024Mi" } } }), false);
        check("v1", "PersistentVolume", json!({ "spec": { "capacity": { "storage": "1Gi" } } }), true);
    }
}
