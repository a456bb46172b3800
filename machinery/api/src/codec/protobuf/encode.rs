//! From tree to message.

use serde_json::{Map, Value};

use super::super::text;
use super::wire::{FIXED64, put_bytes, put_int, put_message, put_tag};
use crate::table::{Field, FieldKind, Member, Table, Type, TypeId};

/// The message of an object of a type, without an envelope.
pub fn encode(table: &Table, ty: TypeId, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    message(table, table.ty(ty), value.as_object(), &mut out);
    out
}

fn message(table: &Table, ty: &Type, object: Option<&Map<String, Value>>, out: &mut Vec<u8>) {
    for member in &ty.members {
        match *member {
            Member::Inline { tag, ty } => {
                put_message(out, tag, |out| message(table, table.ty(ty), object, out))
            }
            Member::Field(at) => {
                let field = &ty.fields[usize::from(at)];
                let value =
                    object.and_then(|object| object.get(field.json_name)).filter(|value| !value.is_null());
                match value {
                    Some(value) => present(table, field, value, out),
                    None if !field.pointer() => absent(table, field, out),
                    None => {}
                }
            }
        }
    }
}

fn present(table: &Table, field: &Field, value: &Value, out: &mut Vec<u8>) {
    match (&field.kind, value) {
        (FieldKind::List(element), Value::Array(items)) => {
            items.iter().for_each(|item| one(table, field.tag, element, item, out));
        }
        (FieldKind::Map(inner), Value::Object(object)) => {
            for (key, value) in object {
                put_message(out, field.tag, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    one(table, 2, inner, value, out);
                });
            }
        }
        (kind, value) => one(table, field.tag, kind, value, out),
    }
}

/// What is written for a field that is no pointer and has no value.
fn absent(table: &Table, field: &Field, out: &mut Vec<u8>) {
    match &field.kind {
        FieldKind::Struct(id) => put_message(out, field.tag, |out| message(table, table.ty(*id), None, out)),
        FieldKind::Bool => put_int(out, field.tag, 0),
        FieldKind::Int32 | FieldKind::Int64 => put_int(out, field.tag, 0),
        FieldKind::Float => float(field.tag, 0.0, out),
        FieldKind::String | FieldKind::Enum(_) => put_bytes(out, field.tag, b""),
        FieldKind::Time
        | FieldKind::MicroTime
        | FieldKind::RawExtension
        | FieldKind::Json
        | FieldKind::FieldsV1 => {
            put_bytes(out, field.tag, b"");
        }
        FieldKind::Quantity => put_message(out, field.tag, |out| put_bytes(out, 1, b"0")),
        FieldKind::Duration => put_message(out, field.tag, |out| put_int(out, 1, 0)),
        FieldKind::IntOrString => put_message(out, field.tag, |out| int_or_string(&Value::from(0), out)),
        _ => {}
    }
}

fn one(table: &Table, tag: u16, kind: &FieldKind, value: &Value, out: &mut Vec<u8>) {
    let words = value.as_str().unwrap_or_default();
    match kind {
        FieldKind::Bool => put_int(out, tag, i64::from(value.as_bool().unwrap_or_default())),
        FieldKind::Int32 | FieldKind::Int64 => put_int(out, tag, value.as_i64().unwrap_or_default()),
        FieldKind::Float => float(tag, value.as_f64().unwrap_or_default(), out),
        FieldKind::String | FieldKind::Enum(_) => put_bytes(out, tag, words.as_bytes()),
        FieldKind::Bytes => put_bytes(out, tag, &text::base64_bytes(words)),
        FieldKind::Struct(id) => {
            put_message(out, tag, |out| message(table, table.ty(*id), value.as_object(), out));
        }
        FieldKind::WrappedStrings => put_message(out, tag, |out| strings(1, value, out)),
        FieldKind::Quantity => put_message(out, tag, |out| match value {
            Value::String(text) => put_bytes(out, 1, text.as_bytes()),
            number => put_bytes(out, 1, number.to_string().as_bytes()),
        }),
        FieldKind::IntOrString => put_message(out, tag, |out| int_or_string(value, out)),
        // Unset in a list or a map; unset fields never come here.
        _ if value.is_null() => put_bytes(out, tag, b""),
        FieldKind::Time | FieldKind::MicroTime => put_message(out, tag, |out| time(words, out)),
        FieldKind::Duration => {
            put_message(out, tag, |out| put_int(out, 1, text::parse_duration(words).unwrap_or_default()));
        }
        FieldKind::RawExtension | FieldKind::FieldsV1 | FieldKind::Json => put_message(out, tag, |out| {
            put_message(out, 1, |out| {
                serde_json::to_writer(out, value).expect("a tree always prints");
            });
        }),
        FieldKind::SchemaOrArray(_) | FieldKind::SchemaOrBool(_) | FieldKind::SchemaOrStrings(_) => {
            put_message(out, tag, |out| union(table, kind, value, out));
        }
        // A list in a list or map exists only as a wrapped one; cells of a Table have no protobuf form.
        FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Any => {}
    }
}

fn float(tag: u16, n: f64, out: &mut Vec<u8>) {
    put_tag(out, tag, FIXED64);
    out.extend_from_slice(&n.to_le_bytes());
}

fn strings(tag: u16, value: &Value, out: &mut Vec<u8>) {
    for item in value.as_array().into_iter().flatten() {
        put_bytes(out, tag, item.as_str().unwrap_or_default().as_bytes());
    }
}

fn int_or_string(value: &Value, out: &mut Vec<u8>) {
    let text = value.as_str();
    put_int(out, 1, i64::from(text.is_some()));
    put_int(out, 2, value.as_i64().unwrap_or_default());
    put_bytes(out, 3, text.unwrap_or_default().as_bytes());
}

fn time(words: &str, out: &mut Vec<u8>) {
    let (seconds, nanos) = text::seconds_and_nanos(words);
    put_int(out, 1, seconds);
    put_int(out, 2, i64::from(nanos));
}

/// The unions of a JSON schema, which upstream writes by hand.
fn union(table: &Table, kind: &FieldKind, value: &Value, out: &mut Vec<u8>) {
    let schema = |tag: u16, id: TypeId, value: &Value, out: &mut Vec<u8>| {
        put_message(out, tag, |out| message(table, table.ty(id), value.as_object(), out));
    };
    match (kind, value) {
        (FieldKind::SchemaOrArray(id), Value::Array(items)) => {
            items.iter().for_each(|item| schema(2, *id, item, out));
        }
        (FieldKind::SchemaOrStrings(_), Value::Array(_)) => strings(2, value, out),
        (FieldKind::SchemaOrBool(_), Value::Bool(set)) => put_int(out, 1, i64::from(*set)),
        (FieldKind::SchemaOrBool(id), Value::Object(_)) => {
            put_int(out, 1, 1);
            schema(2, *id, value, out);
        }
        (FieldKind::SchemaOrArray(id) | FieldKind::SchemaOrStrings(id), Value::Object(_)) => {
            schema(1, *id, value, out);
        }
        _ => {}
    }
}
