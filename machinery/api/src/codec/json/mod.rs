//! JSON: one pass over the bytes, straight against a type.

mod decode;
mod encode;
mod fits;
mod go;
mod syntax;
mod trail;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{DecodeError, Decoded};
use crate::table::{FieldKind, Table, TypeId};

pub(crate) use encode::printed_absent;
pub use encode::{encode, encode_into, encode_open};

/// Reads an object of a type. Unknown fields are dropped and reported; a wrong type is an error in upstream's words.
pub fn decode(table: &Table, ty: TypeId, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode_as(table, &FieldKind::Struct(ty), bytes)
}

/// Reads an object of which nothing is known; duplicate fields are reported.
pub fn decode_untyped(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode_as(Table::builtin(), &FieldKind::Any, bytes)
}

fn decode_as(table: &Table, kind: &FieldKind, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let text = utf8(bytes);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let decoded = decode::run(table, kind, &mut reader).and_then(|decoded| match reader.end() {
        Ok(()) => Ok(decoded),
        Err(error) => Err(decode::Failure::Reader(error.to_string())),
    });
    decoded.map_err(|failure| match failure {
        decode::Failure::Type(message) => DecodeError::Type(message),
        decode::Failure::Reader(message) => DecodeError::Syntax(syntax::explain(text.as_bytes(), &message)),
    })
}

/// Reads an object of a type from a tree: the same checks, pruning and canonical forms as [`decode`].
pub fn decode_value(table: &Table, ty: TypeId, value: &Value) -> Result<Decoded, DecodeError> {
    decode::run(table, &FieldKind::Struct(ty), value).map_err(|failure| match failure {
        decode::Failure::Type(message) | decode::Failure::Reader(message) => DecodeError::Type(message),
    })
}

/// Whether [`decode_value`] would give the same value and no complaint. It may say no of a value of which that is true.
pub fn is_normal(table: &Table, ty: TypeId, value: &Value) -> bool {
    fits::fits(table, &FieldKind::Struct(ty), value)
}

/// As [`decode_value`], of a tree that is given away: one that is in normal form already is kept as it is.
pub fn decode_tree(table: &Table, ty: TypeId, value: Value) -> Result<Decoded, DecodeError> {
    if is_normal(table, ty, &value) {
        return Ok(Decoded { value, strict: Vec::new() });
    }
    decode_value(table, ty, &value)
}

/// Any JSON value, with upstream's messages for malformed text.
pub fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    let text = utf8(bytes);
    serde_json::from_str(&text)
        .map_err(|error| DecodeError::Syntax(syntax::explain(text.as_bytes(), &error.to_string())))
}

/// What an object says of its type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeMeta {
    pub api_version: String,
    pub kind: String,
}

/// Reads `apiVersion` and `kind` without building the object.
pub fn type_meta(bytes: &[u8]) -> Result<TypeMeta, DecodeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek {
        #[serde(default)]
        api_version: Option<String>,
        #[serde(default)]
        kind: Option<String>,
    }
    let text = utf8(bytes);
    if text.trim_ascii_start().starts_with('[') {
        // The reader would take a list for the fields in their order.
        return type_meta_of_odd_object(&text);
    }
    match serde_json::from_str::<Peek>(&text) {
        Ok(peek) => Ok(TypeMeta {
            api_version: peek.api_version.unwrap_or_default(),
            kind: peek.kind.unwrap_or_default(),
        }),
        Err(error) if error.is_data() => type_meta_of_odd_object(&text),
        Err(error) => {
            let message = syntax::explain(text.as_bytes(), &error.to_string());
            Err(DecodeError::Syntax(format!("couldn't get version/kind; json parse error: {message}")))
        }
    }
}

/// Duplicate or mistyped `apiVersion` and `kind`.
fn type_meta_of_odd_object(text: &str) -> Result<TypeMeta, DecodeError> {
    const WHOLE: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let failed = |message: String| {
        DecodeError::Type(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {message}"
        ))
    };
    let value = parse(text.as_bytes()).map_err(|error| {
        DecodeError::Syntax(format!("couldn't get version/kind; json parse error: {error}"))
    })?;
    if value.is_null() {
        return Ok(TypeMeta::default());
    }
    if !value.is_object() {
        return Err(failed(format!("{} into Go value of type {WHOLE}", go::value_name(&value))));
    }
    let field = |name: &str| match &value[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => {
            Err(failed(format!("{} into Go struct field .{name} of type string", go::value_name(other))))
        }
    };
    Ok(TypeMeta { api_version: field("apiVersion")?, kind: field("kind")? })
}

/// Bytes that are not UTF-8 read as replacement characters, as in Go.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    // The lossy reader is several times slower, also where nothing is lost.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
