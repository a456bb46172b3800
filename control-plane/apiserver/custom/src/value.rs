//! Short ways into JSON trees.

use serde_json::Value;

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn flag(value: &Value) -> bool {
    *value == Value::Bool(true)
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    items(value).iter().filter_map(Value::as_str).map(str::to_string).collect()
}

pub(crate) fn condition<'v>(crd: &'v Value, kind: &str) -> Option<&'v Value> {
    items(&crd["status"]["conditions"]).iter().find(|condition| text(&condition["type"]) == kind)
}

pub(crate) fn condition_is_true(crd: &Value, kind: &str) -> bool {
    condition(crd, kind).is_some_and(|condition| text(&condition["status"]) == "True")
}
