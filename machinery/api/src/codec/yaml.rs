//! YAML, as clients may send it and ask for it: a notation for the same trees as JSON.

use serde_json::Value;

use super::{DecodeError, Decoded, json};
use crate::table::{Table, TypeId};

/// One YAML document as a tree. `yes`, `no`, `on` and `off` stay strings only in quotes, as YAML 1.1 has it.
pub fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    let text = String::from_utf8_lossy(bytes);
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = false;
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        DecodeError::Syntax(format!(
            "error converting YAML to JSON: yaml: {}",
            first_line(&error.to_string())
        ))
    })
}

/// Reads an object of a type. A duplicate key is an error of the document, as in strict upstream readers.
pub fn decode(table: &Table, ty: TypeId, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    json::decode_value(table, ty, &parse(bytes)?)
}

/// The YAML of an object of a type, with the same fields as its JSON.
pub fn encode(table: &Table, ty: TypeId, value: &Value) -> Vec<u8> {
    let bytes = json::encode(table, ty, value);
    print(&serde_json::from_slice(&bytes).expect("the encoder prints valid JSON"))
}

/// The YAML of any tree.
pub fn print(value: &Value) -> Vec<u8> {
    serde_saphyr::to_string(value).expect("a tree of strings and numbers always prints").into_bytes()
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
