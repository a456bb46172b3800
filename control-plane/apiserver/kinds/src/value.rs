//! Short reads of, and changes to, trees without nulls and empties.

use oarlock_api::quantity::Quantity;
use serde_json::{Map, Value};

/// Empty where it is absent or no text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Zero where it is absent or no number.
pub(crate) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub(crate) fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true)
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The texts of a list.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).iter().filter_map(Value::as_str)
}

pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    if value.is_null() { None } else { Quantity::from_value(value).ok() }
}

/// The items of a list under `field`, if there is one.
pub(crate) fn items_mut<'v>(value: &'v mut Value, field: &str) -> &'v mut [Value] {
    value.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The object under `field`, made where there is none.
pub(crate) fn object_mut<'v>(value: &'v mut Value, field: &str) -> &'v mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was made an object above")
}

pub(crate) fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut()?.remove(field)
}

/// Makes `new`'s field what `old`'s is, or absent.
pub(crate) fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field).filter(|v| !v.is_null()) {
        Some(value) => new[field] = value.clone(),
        None => {
            remove(new, field);
        }
    }
}

/// Whether two objects differ in a field that is not among `free`. Nothing is copied; an absent field is a null one.
pub(crate) fn differ_but(new: &Value, old: &Value, free: &[&str]) -> bool {
    let one_way = |a: &Value, b: &Value, both: bool| {
        entries(a).any(|(field, value)| {
            let other = &b[field];
            !free.contains(&field) && if both { value != other } else { !value.is_null() && other.is_null() }
        })
    };
    one_way(new, old, true) || one_way(old, new, false)
}

/// Whether there is something: not null, no empty text, list or object, not zero, not false.
pub(crate) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

pub(crate) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}
