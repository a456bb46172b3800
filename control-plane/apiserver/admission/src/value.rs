//! Reading dynamic objects without ceremony: a missing field is the empty value.

use serde_json::Value;

pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field))
}

pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    items(value, path).iter().filter_map(Value::as_str).map(str::to_string).collect()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// As Go prints an aggregate of errors.
pub(crate) fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
