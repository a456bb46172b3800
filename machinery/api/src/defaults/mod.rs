//! Defaulting of the built-in kinds: what a client leaves out, the server fills in.
//!
//! Mostly data: constants per type and field, one file per API group, and the declared defaults of the type table. What
//! depends on other fields is a small function of its type. The object is walked by the table; only the ways that
//! lead to a type with defaults are followed. Defaulting again changes nothing. What needs a clock, the cluster or the
//! old object is not here but in the kinds' strategies.

mod admission;
mod apps;
mod autoscaling;
mod batch;
mod cluster;
mod core;
mod networking;
mod plan;
mod pods;
mod resource;
mod storage;

use serde_json::{Map, Value};

use crate::gvk::GroupVersionKind;
use crate::table::{FieldKind, Table, TypeId};
use plan::Plan;

/// Type (without `io.k8s.api.`, unless it is full), field, JSON of the default. It is set where the field is absent
/// or, if the field is no pointer, zero.
pub(crate) type Constant = (&'static str, &'static str, &'static str);

/// Type, and what it does to an object of that type; it runs before the object's parts are defaulted.
pub(crate) type Conditional = (&'static str, fn(&mut Map<String, Value>));

/// Fills in the defaults of an object of a built-in kind; of an unknown kind nothing.
pub fn apply_defaults(gvk: &GroupVersionKind, object: &mut Value) {
    if let Some(ty) = Table::builtin().type_for(gvk) {
        apply_defaults_as(ty, object);
    }
}

/// The same where the type is known, also of types that are no kinds (a pod template).
pub fn apply_defaults_as(ty: TypeId, object: &mut Value) {
    if let Value::Object(members) = object {
        walk(Plan::builtin(), ty, members);
    }
}

fn walk(plan: &Plan, ty: TypeId, object: &mut Map<String, Value>) {
    let Some(rules) = plan.rules(ty) else { return };
    for function in &rules.functions {
        function(object);
    }
    for constant in &rules.constants {
        let unset = match object.get(constant.field) {
            None => true,
            Some(value) => value.is_null() || (constant.over_zero && is_zero(value)),
        };
        if unset {
            object.insert(constant.field.to_string(), constant.value.clone());
        }
    }
    for field in &rules.resource_lists {
        if let Some(Value::Object(list)) = object.get_mut(*field) {
            core::round_resources(list);
        }
    }
    for part in &rules.parts {
        match object.get_mut(part.field) {
            Some(value) if !value.is_null() => walk_value(plan, part.kind, value),
            // A struct that is no pointer is always there.
            _ if part.always => {
                let mut value = Value::Object(Map::new());
                walk_value(plan, part.kind, &mut value);
                if value.as_object().is_some_and(|members| !members.is_empty()) {
                    object.insert(part.field.to_string(), value);
                }
            }
            _ => {}
        }
    }
}

fn walk_value(plan: &Plan, kind: &FieldKind, value: &mut Value) {
    match (kind, value) {
        (FieldKind::Struct(ty), Value::Object(members)) => walk(plan, *ty, members),
        (FieldKind::List(inner), Value::Array(items)) => {
            items.iter_mut().for_each(|item| walk_value(plan, inner, item));
        }
        (FieldKind::Map(inner), Value::Object(members)) => {
            members.values_mut().for_each(|member| walk_value(plan, inner, member));
        }
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(truth) => !truth,
        _ => false,
    }
}

/// Sets a member that is absent or null.
pub(crate) fn set(object: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if object.get(field).is_none_or(Value::is_null) {
        object.insert(field.to_string(), value.into());
    }
}

/// A member as text; absent is empty.
pub(crate) fn text<'o>(object: &'o Map<String, Value>, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a member is absent or null.
pub(crate) fn absent(object: &Map<String, Value>, field: &str) -> bool {
    object.get(field).is_none_or(Value::is_null)
}

pub(crate) fn member<'o>(object: &'o Map<String, Value>, field: &str) -> Option<&'o Map<String, Value>> {
    object.get(field).and_then(Value::as_object)
}

pub(crate) fn member_mut<'o>(
    object: &'o mut Map<String, Value>,
    field: &str,
) -> Option<&'o mut Map<String, Value>> {
    object.get_mut(field).and_then(Value::as_object_mut)
}

/// The member as an object, made empty where it is absent or null; `None` where it is of another type.
pub(crate) fn ensure<'o>(
    object: &'o mut Map<String, Value>,
    field: &str,
) -> Option<&'o mut Map<String, Value>> {
    set(object, field, Map::new());
    member_mut(object, field)
}

/// The objects in a list.
pub(crate) fn items_mut<'o>(
    object: &'o mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'o mut Map<String, Value>> {
    let items = object.get_mut(field).and_then(Value::as_array_mut);
    items.map(|items| items.as_mut_slice()).unwrap_or_default().iter_mut().filter_map(Value::as_object_mut)
}

/// The entries of `from` that `object[field]` lacks are copied there.
pub(crate) fn fill(object: &mut Map<String, Value>, field: &str, from: Option<Map<String, Value>>) {
    let Some(from) = from.filter(|from| !from.is_empty()) else { return };
    if let Some(target) = ensure(object, field) {
        for (key, value) in from {
            target.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
