//! Whether a tree fits a type, and making it fit.

use serde_json::Value;

use super::{DecodeError, Decoded, json};
use crate::table::{FieldKind, Table, TypeId};

/// Reads a tree against a type: the error of a wrong type, or the tree in normal form with what is unknown in it.
pub fn check(table: &Table, ty: TypeId, value: &Value) -> Result<Decoded, DecodeError> {
    json::decode_value(table, ty, value)
}

/// Drops what the type does not know, and nulls, in place. Values of a wrong type stay as they are.
pub fn prune(table: &Table, ty: TypeId, value: &mut Value) {
    let Value::Object(object) = value else { return };
    let ty = table.ty(ty);
    object.retain(|name, value| match ty.field(name) {
        Some(field) if !value.is_null() => {
            prune_kind(table, &field.kind, value);
            true
        }
        _ => false,
    });
}

fn prune_kind(table: &Table, kind: &FieldKind, value: &mut Value) {
    match (kind, value) {
        (FieldKind::Struct(id), value) => prune(table, *id, value),
        (
            FieldKind::SchemaOrArray(id) | FieldKind::SchemaOrBool(id) | FieldKind::SchemaOrStrings(id),
            value @ Value::Object(_),
        ) => prune(table, *id, value),
        (FieldKind::List(inner), Value::Array(items)) => {
            items.iter_mut().for_each(|item| prune_kind(table, inner, item));
        }
        (FieldKind::SchemaOrArray(id), Value::Array(items)) => {
            items.iter_mut().for_each(|item| prune(table, *id, item));
        }
        (FieldKind::Map(inner), Value::Object(object)) => {
            object.values_mut().for_each(|item| prune_kind(table, inner, item));
        }
        _ => {}
    }
}
