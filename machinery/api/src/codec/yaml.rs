//! YAML, as clients may send it and ask for it: a notation for the same trees as JSON.

use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Error};

use super::{DecodeError, Decoded, json};
use crate::table::{Table, TypeId};

const CONVERTING: &str = "error converting YAML to JSON: yaml:";
const UNMARSHAL: &str = "unmarshal errors:\n  ";

/// One YAML document as a tree. `yes`, `no`, `on` and `off` stay strings only in quotes, as YAML 1.1 has it. A
/// duplicate key is an error.
pub fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    if let Some(tree) = plain_json(bytes) {
        return Ok(tree);
    }
    read(&String::from_utf8_lossy(bytes), DuplicateKeyPolicy::Error).map_err(syntax)
}

/// What is JSON without duplicate keys, as most of what clients send as YAML is: its reader is many times faster, and
/// reads the same from it.
fn plain_json(bytes: &[u8]) -> Option<Value> {
    bytes.trim_ascii_start().starts_with(b"{").then_some(())?;
    let decoded = json::decode_untyped(bytes).ok()?;
    decoded.strict.is_empty().then_some(decoded.value)
}

/// Like [`parse`], but of duplicate keys the last wins; beside the tree stands what a strict reader says of the first.
pub fn parse_lenient(bytes: &[u8]) -> Result<(Value, Option<String>), DecodeError> {
    if let Some(tree) = plain_json(bytes) {
        return Ok((tree, None));
    }
    let text = String::from_utf8_lossy(bytes);
    let error = match read(&text, DuplicateKeyPolicy::Error) {
        Ok(tree) => return Ok((tree, None)),
        Err(error) => error,
    };
    let Error::DuplicateMappingKey { key, location } = error.without_snippet() else {
        return Err(syntax(error));
    };
    let (line, key) = (location.line(), key.as_deref().unwrap_or_default());
    let strict = format!("{CONVERTING} {UNMARSHAL}line {line}: key {key:?} already set in map");
    Ok((read(&text, DuplicateKeyPolicy::LastWins).map_err(syntax)?, Some(strict)))
}

/// What a strict reader says, as a warning says it.
pub fn warning(strict: &str) -> &str {
    let rest = strict.strip_prefix(CONVERTING).and_then(|rest| rest.trim_start().strip_prefix(UNMARSHAL));
    rest.unwrap_or(strict)
}

fn read(text: &str, duplicates: DuplicateKeyPolicy) -> Result<Value, Error> {
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = false;
    options.duplicate_keys = duplicates;
    serde_saphyr::from_str_with_options(text, options)
}

fn syntax(error: Error) -> DecodeError {
    DecodeError::Syntax(format!("{CONVERTING} {}", first_line(&error.to_string())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_duplicate_keys_wins_where_that_is_allowed() {
        let text = b"\na: 1\nb:\n  foo: one\n  foo: two\n";
        assert!(parse(text).is_err());
        let (tree, strict) = parse_lenient(text).expect("it is YAML");
        assert_eq!(tree, serde_json::json!({"a": 1, "b": {"foo": "two"}}));
        let strict = strict.expect("a key stands twice");
        let words = "line 5: key \"foo\" already set in map";
        let want = format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {words}");
        assert_eq!(strict, want);
        assert_eq!(warning(&strict), words);
        assert_eq!(parse_lenient(b"a: 1").expect("it is YAML").1, None);
    }
}
