//! Prints an object as upstream prints its struct.
//!
//! `kind` and `apiVersion` of the whole come first, as upstream's, the other fields in the order of their names. Fields that upstream never omits are written though absent: `"status":{}`,
//! `"containers":null`, `"lastProbeTime":null`.

use serde_json::{Map, Value};

use super::super::empty;
use crate::table::{Field, FieldKind, Table, Type, TypeId};

/// The JSON of an object of a type. What the type does not know is left out.
pub fn encode(table: &Table, ty: TypeId, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encode_into(table, ty, value, &mut out);
    out
}

/// Appends the JSON of an object of a type.
pub fn encode_into(table: &Table, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    let ty = table.ty(ty);
    let start = out.len() + 1;
    let mut present = present(value.as_object());
    for part in head(ty, value, out) {
        fields(table, part, &mut present, start, out);
    }
    out.push(b'}');
}

/// Begins an object with what says its type; the fields that are left, in their order.
fn head<'t>(ty: &'t Type, value: &Value, out: &mut Vec<u8>) -> [&'t [Field]; 3] {
    let (first, api_version, rest) = around(&ty.fields, "apiVersion");
    let (second, kind, third) = around(rest, "kind");
    out.push(b'{');
    let start = out.len();
    for field in kind.into_iter().chain(api_version) {
        if let Some(said) = value[field.json_name].as_str().filter(|said| !said.is_empty()) {
            name(field, start, out);
            string(said, out);
        }
    }
    [first, second, third]
}

/// The JSON of an object without its resourceVersion, and where in it `,"resourceVersion":"…"` belongs.
///
/// The object must have a name, for something must stand before.
pub fn encode_open(table: &Table, ty: TypeId, value: &Value) -> (Vec<u8>, usize) {
    let ty = table.ty(ty);
    let mut out = Vec::with_capacity(1024);
    let mut present = present(value.as_object());
    let [first, second, third] = head(ty, value, &mut out);
    fields(table, first, &mut present, 1, &mut out);
    fields(table, second, &mut present, 1, &mut out);
    let (before, meta, after) = around(third, "metadata");
    fields(table, before, &mut present, 1, &mut out);
    let Some((meta, FieldKind::Struct(id))) = meta.map(|field| (field, &field.kind)) else {
        fields(table, after, &mut present, 1, &mut out);
        let end = out.len();
        out.push(b'}');
        return (out, end);
    };
    name(meta, 1, &mut out);
    out.push(b'{');
    let start = out.len();
    let (sooner, _, later) = around(&table.ty(*id).fields, "resourceVersion");
    let mut inside = self::present(value[meta.json_name].as_object());
    fields(table, sooner, &mut inside, start, &mut out);
    let at = out.len();
    fields(table, later, &mut inside, start, &mut out);
    out.push(b'}');
    fields(table, after, &mut present, 1, &mut out);
    out.push(b'}');
    (out, at)
}

/// The fields before the named one, it, and those behind it.
fn around<'t>(fields: &'t [Field], name: &str) -> (&'t [Field], Option<&'t Field>, &'t [Field]) {
    let at = fields.partition_point(|field| field.json_name < name);
    match fields[at..].split_first() {
        Some((field, after)) if field.json_name == name => (&fields[..at], Some(field), after),
        _ => (&fields[..at], None, &fields[at..]),
    }
}

type Present<'v> = std::iter::Peekable<std::iter::Flatten<std::option::IntoIter<&'v Map<String, Value>>>>;

fn present(object: Option<&Map<String, Value>>) -> Present<'_> {
    object.into_iter().flatten().peekable()
}

fn structure(table: &Table, ty: &Type, object: Option<&Map<String, Value>>, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    fields(table, &ty.fields, &mut present(object), start, out);
    out.push(b'}');
}

/// Both sides are sorted by name, so one walk joins them. The struct's first field is at `start`.
fn fields(table: &Table, fields: &[Field], present: &mut Present<'_>, start: usize, out: &mut Vec<u8>) {
    for field in fields {
        while present.next_if(|(name, _)| name.as_str() < field.json_name).is_some() {}
        let value = present.next_if(|(name, _)| *name == field.json_name).map(|(_, value)| value);
        let value = value.filter(|value| !value.is_null());
        if value.is_some_and(|value| empty::omitted(field, value))
            || (value.is_none() && !printed_absent(field))
        {
            continue;
        }
        name(field, start, out);
        match value {
            Some(value) => any_kind(table, &field.kind, value, out),
            None => absent(table, field, out),
        }
    }
}

fn name(field: &Field, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    // Names of fields need no escapes.
    out.push(b'"');
    out.extend_from_slice(field.json_name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Whether upstream prints this field though it has no value.
pub(crate) fn printed_absent(field: &Field) -> bool {
    if field.omitzero() {
        return false;
    }
    if field.pointer() || !field.omitempty() {
        return !field.omitempty();
    }
    // Structs are never empty to Go.
    matches!(
        field.kind,
        FieldKind::Struct(_)
            | FieldKind::Time
            | FieldKind::MicroTime
            | FieldKind::Duration
            | FieldKind::Quantity
            | FieldKind::IntOrString
            | FieldKind::RawExtension
            | FieldKind::FieldsV1
            | FieldKind::Json
    )
}

fn absent(table: &Table, field: &Field, out: &mut Vec<u8>) {
    if field.pointer() {
        out.extend_from_slice(b"null");
        return;
    }
    match &field.kind {
        FieldKind::Struct(id) => structure(table, table.ty(*id), None, out),
        FieldKind::Bool => out.extend_from_slice(b"false"),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float | FieldKind::IntOrString => out.push(b'0'),
        FieldKind::String | FieldKind::Enum(_) => out.extend_from_slice(b"\"\""),
        FieldKind::Quantity => out.extend_from_slice(b"\"0\""),
        FieldKind::Duration => out.extend_from_slice(b"\"0s\""),
        _ => out.extend_from_slice(b"null"),
    }
}

fn any_kind(table: &Table, kind: &FieldKind, value: &Value, out: &mut Vec<u8>) {
    match (kind, value) {
        (FieldKind::Struct(id), Value::Object(object)) => structure(table, table.ty(*id), Some(object), out),
        (FieldKind::List(element), Value::Array(items)) => list(table, element, items, out),
        (FieldKind::Map(inner), Value::Object(object)) => map(table, inner, object, out),
        (
            FieldKind::SchemaOrArray(id) | FieldKind::SchemaOrBool(id) | FieldKind::SchemaOrStrings(id),
            Value::Object(object),
        ) => structure(table, table.ty(*id), Some(object), out),
        (FieldKind::SchemaOrArray(id), Value::Array(items)) => {
            list(table, &FieldKind::Struct(*id), items, out)
        }
        (_, Value::String(text)) => string(text, out),
        (_, value) => serde_json::to_writer(out, value).expect("a tree of strings and numbers always prints"),
    }
}

fn list(table: &Table, element: &FieldKind, items: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        any_kind(table, element, item, out);
    }
    out.push(b']');
}

fn map(table: &Table, kind: &FieldKind, object: &Map<String, Value>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (key, value)) in object.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(key, out);
        out.push(b':');
        any_kind(table, kind, value, out);
    }
    out.push(b'}');
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string always prints");
}
