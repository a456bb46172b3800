//! Lists of type set and map hold nothing twice.

use std::collections::HashMap;

use oarlock_api::structural::Structural;
use oarlock_api::table::ListType;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Map, Value};

/// Whether a schema has such lists.
pub(crate) fn has_lists(schema: &Structural) -> bool {
    matches!(schema.list_type, Some(ListType::Set | ListType::Map))
        || schema.properties.values().any(has_lists)
        || schema.additional_schema().is_some_and(has_lists)
        || schema.items.as_deref().is_some_and(has_lists)
}

/// Adds a fault for every item that stands in such a list twice.
pub(crate) fn check_lists(schema: &Structural, value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(property) = schema.properties.get(name) {
                    check_lists(property, value, &path.child(name), errors);
                } else if let Some(schema) = schema.additional_schema() {
                    check_lists(schema, value, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                Some(ListType::Set) => {
                    let keys: Vec<String> = items.iter().map(Value::to_string).collect();
                    let twice = second_of(&keys);
                    errors.extend(twice.map(|at| FieldError::duplicate(path.index(at), items[at].clone())));
                }
                Some(ListType::Map) => check_map(&schema.list_map_keys, items, path, errors),
                _ => {}
            }
            if let Some(below) = &schema.items {
                for (index, item) in
                    items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array())
                {
                    check_lists(below, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn check_map(keys: &[String], items: &[Value], path: &Path, errors: &mut FieldErrors) {
    if let Some(at) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(path.index(at), items[at].clone(), detail));
        return;
    }
    let key_of = |item: &Value| {
        let parts = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        Value::Object(parts.collect::<Map<String, Value>>())
    };
    let all: Vec<Value> = items.iter().map(key_of).collect();
    let texts: Vec<String> = all.iter().map(Value::to_string).collect();
    errors.extend(second_of(&texts).map(|at| FieldError::duplicate(path.index(at), all[at].clone())));
}

/// Where each text that stands there more than once stands for the second time.
fn second_of(texts: &[String]) -> impl Iterator<Item = usize> + use<> {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let times = seen.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            found.push(index);
        }
    }
    found.into_iter()
}

pub(super) fn has_duplicates(items: &[Value]) -> bool {
    let texts: Vec<String> = items.iter().map(Value::to_string).collect();
    second_of(&texts).next().is_some()
}
