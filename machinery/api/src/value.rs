//! Reading dynamic objects without ceremony: a missing field is the empty value, as in upstream's structs.

use serde_json::Value;

pub use crate::meta::{annotation, name, namespace, uid};

/// The value at the end of `path`, if all of it exists.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field))
}

/// The string at `path`, or the empty one.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The items of the list at `path`, or none.
pub fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The strings of the list at `path`, or none.
pub fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    items(value, path).iter().filter_map(Value::as_str).map(str::to_string).collect()
}

/// `["a" "b"]`: how upstream's messages print a list of strings (`%q`).
pub fn quoted<S: AsRef<str>>(texts: &[S]) -> String {
    let quoted: Vec<String> = texts.iter().map(|t| format!("{:?}", t.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

/// The map at `field` of a JSON object, made if it is not there (or is null).
pub fn map_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut serde_json::Map<String, Value> {
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = Value::Object(serde_json::Map::new());
    }
    slot.as_object_mut().expect("made an object just now")
}

/// The list at `field` of a JSON object, made if it is not there (or is null).
pub fn list_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut Vec<Value> {
    let slot = &mut value[field];
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("made an array just now")
}
