//! Protobuf: messages, the envelope around an object, and watch frames.
//!
//! Conventions are upstream's: proto2, a scalar that is no pointer is always written, lists of scalars are not packed,
//! map entries are sorted by key, inlined structs are messages of their own.

mod decode;
mod encode;
mod envelope;
pub(crate) mod wire;

use serde_json::Value;

use super::DecodeError;
use crate::gvk::split_api_version;
use crate::table::{Table, TypeId};

pub use decode::decode;
pub use encode::encode;
pub use envelope::{MAGIC, Unknown, is_envelope, unwrap, watch_frame, wrap};

/// An object with the envelope that it has on the wire and at rest. The object says itself what it is.
pub fn encode_object(table: &Table, value: &Value) -> Result<Vec<u8>, DecodeError> {
    let (api_version, kind) = (text(value, "apiVersion"), text(value, "kind"));
    let ty = type_of(table, api_version, kind)?;
    Ok(wrap(api_version, kind, &encode(table, ty, value)))
}

/// The object in an envelope, with `apiVersion` and `kind` set.
pub fn decode_object(table: &Table, bytes: &[u8]) -> Result<(TypeId, Value), DecodeError> {
    let unknown = unwrap(bytes)?;
    let ty = type_of(table, &unknown.api_version, &unknown.kind)?;
    let mut value = decode(table, ty, unknown.raw)?;
    value["apiVersion"] = Value::from(unknown.api_version);
    value["kind"] = Value::from(unknown.kind);
    Ok((ty, value))
}

/// The kind's own type; options and Status are the same in every group.
fn type_of(table: &Table, api_version: &str, kind: &str) -> Result<TypeId, DecodeError> {
    let (group, version) = split_api_version(api_version);
    let shared =
        || matches!(kind, "DeleteOptions" | "Status").then(|| table.type_of("", "v1", kind)).flatten();
    table
        .type_of(group, version, kind)
        .or_else(shared)
        .ok_or_else(|| DecodeError::UnknownKind { api_version: api_version.into(), kind: kind.into() })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
