//! From message to tree. The bytes come from strangers: nothing here trusts a length or a depth.

use serde_json::{Map, Number, Value};

use super::super::{empty, json, text};
use super::DecodeError;
use super::wire::{Payload, Reader};
use crate::table::{Field, FieldKind, Member, Table, Type, TypeId};

/// Deeper messages than this are refused; no object that upstream's JSON reader accepts from a client is deeper.
const MAX_DEPTH: u32 = 200;

/// The object in a message without an envelope, in normal form.
pub fn decode(table: &Table, ty: TypeId, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut object = Map::new();
    message(table, table.ty(ty), bytes, MAX_DEPTH, &mut object)?;
    Ok(Value::Object(object))
}

fn message(
    table: &Table,
    ty: &Type,
    bytes: &[u8],
    depth: u32,
    object: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::Protobuf("message is nested too deep"))?;
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match member(ty, tag) {
            Some(Member::Inline { ty, .. }) => {
                message(table, table.ty(ty), payload.bytes()?, depth, object)?;
            }
            Some(Member::Field(at)) => field(table, &ty.fields[usize::from(at)], payload, depth, object)?,
            None => {}
        }
    }
    Ok(())
}

fn member(ty: &Type, tag: u64) -> Option<Member> {
    let number = |member: &Member| match *member {
        Member::Field(at) => u64::from(ty.fields[usize::from(at)].tag),
        Member::Inline { tag, .. } => u64::from(tag),
    };
    ty.members.binary_search_by_key(&tag, number).ok().map(|at| ty.members[at])
}

fn field(
    table: &Table,
    field: &Field,
    payload: Payload<'_>,
    depth: u32,
    object: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    match &field.kind {
        FieldKind::List(element) => {
            let items = list(object, field.json_name);
            match payload {
                // A sender may pack scalars.
                Payload::Bytes(packed)
                    if matches!(**element, FieldKind::Bool | FieldKind::Int32 | FieldKind::Int64) =>
                {
                    packed_varints(element, packed, items)?;
                }
                payload => {
                    let value = one(table, element, payload, depth)?;
                    items.push(if value.is_null() { empty::zero(element) } else { value });
                }
            }
        }
        FieldKind::Map(inner) => {
            let (key, value) = entry(table, inner, payload.bytes()?, depth)?;
            let slot = object.entry(field.json_name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = slot {
                map.insert(key, value);
            }
        }
        kind => {
            let value = one(table, kind, payload, depth)?;
            if !dropped(field, &value) {
                object.insert(field.json_name.to_string(), value);
            }
        }
    }
    Ok(())
}

/// Upstream writes these whether they are set or not; in normal form they are absent. An empty struct stays: upstream
/// prints it in JSON too, and an object must read as the same tree from both.
fn dropped(field: &Field, value: &Value) -> bool {
    if field.pointer() || value.is_null() {
        return value.is_null();
    }
    match (&field.kind, value) {
        (FieldKind::Struct(_), Value::Object(object)) => object.is_empty() && field.omitzero(),
        (kind, value) => field.omitempty() && empty::zero_scalar(kind, value),
    }
}

fn list<'o>(object: &'o mut Map<String, Value>, name: &str) -> &'o mut Vec<Value> {
    let slot = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("it was made a list above")
}

fn packed_varints(kind: &FieldKind, packed: &[u8], items: &mut Vec<Value>) -> Result<(), DecodeError> {
    let mut rest = packed;
    while !rest.is_empty() {
        let len = rest.iter().position(|b| b & 0x80 == 0).map(|at| at + 1).filter(|len| *len <= 10);
        let len = len.ok_or(DecodeError::Protobuf("integer overflow"))?;
        let n = rest[..len].iter().rev().fold(0_u64, |n, b| n << 7 | u64::from(b & 0x7f));
        items.push(varint(kind, n));
        rest = &rest[len..];
    }
    Ok(())
}

fn varint(kind: &FieldKind, n: u64) -> Value {
    match kind {
        FieldKind::Bool => Value::Bool(n != 0),
        FieldKind::Int32 => Value::from(n as i32),
        _ => Value::from(n as i64),
    }
}

fn entry(table: &Table, kind: &FieldKind, bytes: &[u8], depth: u32) -> Result<(String, Value), DecodeError> {
    let (mut key, mut value) = (String::new(), Value::Null);
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => key = payload.text()?,
            2 => value = one(table, kind, payload, depth)?,
            _ => {}
        }
    }
    if value.is_null() {
        value = empty::zero(kind);
    }
    Ok((key, value))
}

fn one(table: &Table, kind: &FieldKind, payload: Payload<'_>, depth: u32) -> Result<Value, DecodeError> {
    Ok(match kind {
        FieldKind::Bool | FieldKind::Int32 | FieldKind::Int64 => varint(kind, payload.varint()?),
        FieldKind::Float => float(payload.fixed64()?),
        FieldKind::String | FieldKind::Enum(_) => Value::String(payload.text()?),
        FieldKind::Bytes => Value::String(text::print_base64(payload.bytes()?)),
        FieldKind::Struct(id) => structure(table, *id, payload.bytes()?, depth)?,
        FieldKind::WrappedStrings => Value::Array(texts(payload.bytes()?, 1)?),
        FieldKind::Quantity => quantity(payload.bytes()?)?,
        FieldKind::IntOrString => int_or_string(payload.bytes()?)?,
        FieldKind::Time | FieldKind::MicroTime => time(kind, payload.bytes()?)?,
        FieldKind::Duration => duration(payload.bytes()?)?,
        FieldKind::RawExtension | FieldKind::FieldsV1 | FieldKind::Json => {
            raw(table, payload.bytes()?, depth)?
        }
        FieldKind::SchemaOrArray(id) | FieldKind::SchemaOrBool(id) | FieldKind::SchemaOrStrings(id) => {
            union(table, kind, *id, payload.bytes()?, depth)?
        }
        FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Any => Value::Null,
    })
}

fn structure(table: &Table, id: TypeId, bytes: &[u8], depth: u32) -> Result<Value, DecodeError> {
    let mut object = Map::new();
    message(table, table.ty(id), bytes, depth, &mut object)?;
    Ok(Value::Object(object))
}

fn float(bits: u64) -> Value {
    let n = f64::from_bits(bits);
    if n.fract() == 0.0 && n.abs() < 9e15 {
        return Value::from(n as i64);
    }
    Number::from_f64(n).map_or(Value::Null, Value::Number)
}

fn texts(bytes: &[u8], wanted: u64) -> Result<Vec<Value>, DecodeError> {
    let mut items = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        if tag == wanted {
            items.push(Value::String(payload.text()?));
        }
    }
    Ok(items)
}

fn quantity(bytes: &[u8]) -> Result<Value, DecodeError> {
    let written = texts(bytes, 1)?.pop();
    let written = written.as_ref().and_then(Value::as_str).unwrap_or("0");
    let canonical = text::quantity(written).map_err(DecodeError::Type)?;
    Ok(Value::String(canonical))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, DecodeError> {
    let (mut is_text, mut number, mut words) = (false, 0_i32, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => is_text = payload.varint()? != 0,
            2 => number = payload.varint()? as i32,
            3 => words = payload.text()?,
            _ => {}
        }
    }
    Ok(if is_text { Value::String(words) } else { Value::from(number) })
}

/// An empty message is the zero time, which JSON prints as null.
fn time(kind: &FieldKind, bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => seconds = payload.varint()? as i64,
            2 => nanos = payload.varint()? as i32,
            _ => {}
        }
    }
    let printed = match kind {
        FieldKind::MicroTime => text::print_micro_time(seconds, nanos.clamp(0, 999_999_999)),
        _ => text::print_time(seconds),
    };
    if printed.is_empty() {
        return Err(DecodeError::Protobuf("time out of range"));
    }
    Ok(Value::String(printed))
}

fn duration(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut nanos = 0_i64;
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        if tag == 1 {
            nanos = payload.varint()? as i64;
        }
    }
    Ok(Value::String(text::print_duration(nanos)))
}

/// Raw JSON, or an object in an envelope of its own.
fn raw(table: &Table, bytes: &[u8], depth: u32) -> Result<Value, DecodeError> {
    let mut found = None;
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        if tag == 1 {
            found = Some(payload.bytes()?);
        }
    }
    match found {
        None | Some([]) => Ok(Value::Null),
        Some(bytes) if super::is_envelope(bytes) => embedded(table, bytes, depth),
        Some(bytes) => json::parse(bytes),
    }
}

fn embedded(table: &Table, bytes: &[u8], depth: u32) -> Result<Value, DecodeError> {
    let unknown = super::unwrap(bytes)?;
    let ty = super::type_of(table, &unknown.api_version, &unknown.kind)?;
    let mut object = Map::new();
    message(table, table.ty(ty), unknown.raw, depth, &mut object)?;
    object.insert("apiVersion".into(), Value::from(unknown.api_version));
    object.insert("kind".into(), Value::from(unknown.kind));
    Ok(Value::Object(object))
}

fn union(
    table: &Table,
    kind: &FieldKind,
    id: TypeId,
    bytes: &[u8],
    depth: u32,
) -> Result<Value, DecodeError> {
    let (mut schema, mut items, mut allows) = (None, Vec::new(), false);
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match (kind, tag) {
            (FieldKind::SchemaOrBool(_), 1) => allows = payload.varint()? != 0,
            (FieldKind::SchemaOrBool(_), 2) | (_, 1) => {
                schema = Some(structure(table, id, payload.bytes()?, depth)?)
            }
            (FieldKind::SchemaOrArray(_), 2) => items.push(structure(table, id, payload.bytes()?, depth)?),
            (FieldKind::SchemaOrStrings(_), 2) => items.push(Value::String(payload.text()?)),
            _ => {}
        }
    }
    Ok(match (schema, kind) {
        (Some(schema), _) => schema,
        (None, FieldKind::SchemaOrBool(_)) => Value::Bool(allows),
        (None, _) if items.is_empty() => Value::Null,
        (None, _) => Value::Array(items),
    })
}

impl<'b> Payload<'b> {
    fn varint(self) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(n) => Ok(n),
            _ => Err(DecodeError::Protobuf("wrong wireType")),
        }
    }

    fn fixed64(self) -> Result<u64, DecodeError> {
        match self {
            Self::Fixed64(n) => Ok(n),
            _ => Err(DecodeError::Protobuf("wrong wireType")),
        }
    }

    fn bytes(self) -> Result<&'b [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Protobuf("wrong wireType")),
        }
    }

    /// Bytes that are not UTF-8 read as replacement characters.
    fn text(self) -> Result<String, DecodeError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}
