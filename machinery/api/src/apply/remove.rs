//! Taking fields out of an object, and taking an object's fields out.

use serde_json::{Map, Value};

use super::element::Element;
use super::fields::{Entry, FieldSet};
use super::items;
use super::node::{Merge, Node, Shape};

/// Removes the members and items that `set` names. What becomes empty by it goes as well.
pub(super) fn remove(node: Node<'_>, value: &mut Value, set: &FieldSet<'_>) {
    if set.is_empty() {
        return;
    }
    match (node.shape(Some(value)), &mut *value) {
        (Shape::Map(members), Value::Object(object)) if !members.atomic => {
            object.retain(|name, value| match set.get(&Element::field(name)) {
                None => true,
                Some(entry) if entry.member => false,
                Some(entry) => {
                    remove(members.node(name), value, &entry.below);
                    !is_empty(value)
                }
            });
        }
        (Shape::List(list), Value::Array(values)) if !matches!(list.merge, Merge::Atomic) => {
            let fate = |item: &Value| items::element(list, item).ok().and_then(|e| set.get(&e));
            let fates: Vec<Option<&Entry<'_>>> = values.iter().map(fate).collect();
            let mut fates = fates.into_iter();
            values.retain_mut(|item| match fates.next().flatten() {
                None => true,
                Some(entry) if entry.member => false,
                Some(entry) => {
                    remove(list.item, item, &entry.below);
                    true
                }
            });
        }
        // Nothing of an atomic thing can go alone.
        (Shape::Map(_) | Shape::List(_), value) => *value = Value::Null,
        (Shape::Scalar(_), _) => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// The part of an object that `set` names.
pub(super) fn extract(node: Node<'_>, value: &Value, set: &FieldSet<'_>) -> Value {
    match (node.shape(Some(value)), value) {
        (Shape::Map(members), Value::Object(object)) if !members.atomic && !object.is_empty() => {
            let mut out = Map::new();
            for (name, value) in object {
                let Some(entry) = set.get(&Element::field(name)) else { continue };
                let node = members.node(name);
                let part = match node.shape(Some(value)) {
                    // An empty map was applied; what it holds now is others'.
                    Shape::Map(inner) if entry.below.is_empty() && !inner.atomic => Value::Object(Map::new()),
                    _ if entry.below.is_empty() => value.clone(),
                    _ => extract(node, value, &entry.below),
                };
                out.insert(name.clone(), part);
            }
            Value::Object(out)
        }
        (Shape::List(list), Value::Array(values)) if !matches!(list.merge, Merge::Atomic) => {
            let part = |item: &Value| {
                let element = items::element(list, item).ok()?;
                let entry = set.get(&element)?;
                Some(if entry.below.is_empty() {
                    item.clone()
                } else {
                    extract(list.item, item, &entry.below)
                })
            };
            Value::Array(values.iter().filter_map(part).collect())
        }
        (_, value) => value.clone(),
    }
}

/// Makes every field that the schema names a member of the set, if something below it is.
pub(super) fn name_all(node: Node<'_>, set: &mut FieldSet<'_>) {
    let shape = node.shape(None);
    for entry in set.entries.iter_mut().filter(|entry| !entry.below.is_empty()) {
        let inner = match (&entry.element, shape) {
            (Element::Field(name), Shape::Map(members)) => {
                let known = members.member(name);
                entry.member = entry.member || known.is_some_and(|m| m.named);
                known.map_or(Node::Deduced, |m| m.node)
            }
            (_, Shape::List(list)) => list.item,
            _ => Node::Deduced,
        };
        name_all(inner, &mut entry.below);
    }
}

/// Fits a set to a schema that changed since it was written: what became atomic is owned as a whole.
pub(super) fn fit(node: Node<'_>, set: &mut FieldSet<'_>) {
    match node.shape(None) {
        Shape::Map(members) if !members.is_untyped() => {
            for entry in &mut set.entries {
                if let Element::Field(name) = &entry.element
                    && let Some(known) = members.member(name)
                {
                    fit_entry(known.node, entry);
                }
            }
        }
        Shape::List(list) => set.entries.iter_mut().for_each(|entry| fit_entry(list.item, entry)),
        _ => {}
    }
}

fn fit_entry(node: Node<'_>, entry: &mut Entry<'_>) {
    if entry.below.is_empty() {
        return;
    }
    let atomic = match node.shape(None) {
        Shape::Map(members) => members.atomic && !members.is_untyped() && !matches!(node, Node::Opaque),
        Shape::List(list) => matches!(list.merge, Merge::Atomic),
        Shape::Scalar(_) => false,
    };
    if atomic {
        entry.member = true;
        entry.below = FieldSet::new();
    } else {
        fit(node, &mut entry.below);
    }
}
