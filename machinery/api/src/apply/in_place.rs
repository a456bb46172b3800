//! The common update: entries are changed where they change, as trees, without being read into sets. Its cost is that of the
//! change, not that of what is owned. Gives what the long way gives; a property test compares them.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::compare::Delta;
use super::element::Element;
use super::fields::{Entry, FieldSet};
use super::managed::{self, Operation, Owner, UPDATERS_MAX};
use super::settle::Request;
use crate::meta;
use crate::schema::Schema;

/// The entries after a change, or, where the long way must be gone, the entries as they were. They must be as this server
/// writes them: keys in canonical form.
pub(super) fn update(
    request: &Request<'_>,
    mut entries: Vec<Value>,
    delta: &Delta<'_>,
) -> Result<Vec<Value>, Vec<Value>> {
    if !is_plain(request, &entries) {
        return Err(entries);
    }
    let gains = !delta.added.is_empty() || !delta.modified.is_empty();
    let time = Value::from(meta::print_time(request.now));
    let mut found = false;
    let mut key = String::new();
    entries.retain_mut(|entry| {
        let own = gains && is_own(request, entry);
        let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) else { return false };
        for set in [&delta.added, &delta.modified, &delta.removed] {
            take(fields, set, &mut key);
        }
        if own {
            found = true;
            give(fields, &delta.added, &mut key);
            give(fields, &delta.modified, &mut key);
            entry["time"] = time.clone();
            return true;
        }
        !fields.is_empty()
    });
    if gains && !found {
        let fields = delta.added.clone().union(delta.modified.clone());
        let manager = request.who(Operation::Update);
        let time = meta::print_time(request.now).into();
        entries.extend(managed::encode(vec![Owner { manager, time, fields }]));
    }
    entries.sort_by(by_age);
    Ok(entries)
}

fn text<'v>(entry: &'v Value, name: &str) -> &'v str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether all entries are sound, of this version, of different managers, and few. Schemas that can change are left to the
/// long way, which fits entries to them.
fn is_plain(request: &Request<'_>, entries: &[Value]) -> bool {
    let sound = |entry: &Value| {
        matches!(text(entry, "operation"), "Apply" | "Update")
            && text(entry, "fieldsType") == "FieldsV1"
            && text(entry, "apiVersion") == request.api_version
            && !managed::owns_nothing(entry)
    };
    let same = |a: &Value, b: &Value| {
        ["manager", "operation", "subresource"].iter().all(|name| text(a, name) == text(b, name))
    };
    let others =
        entries.iter().filter(|entry| text(entry, "operation") == "Update" && !is_own(request, entry));
    matches!(request.schema, Schema::Typed(_))
        && entries.iter().all(sound)
        && others.count() < UPDATERS_MAX
        && entries.iter().enumerate().all(|(at, a)| !entries[..at].iter().any(|b| same(a, b)))
}

fn is_own(request: &Request<'_>, entry: &Value) -> bool {
    let manager = if request.manager.is_empty() { "unknown" } else { request.manager };
    text(entry, "manager") == manager
        && text(entry, "operation") == "Update"
        && text(entry, "subresource") == request.subresource
}

/// Upstream's order; times are in the one canonical form.
fn by_age(a: &Value, b: &Value) -> Ordering {
    let names = ["operation", "time", "manager", "apiVersion", "subresource"];
    let orders = names.iter().map(|name| text(a, name).cmp(text(b, name)));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn print<'k>(element: &Element<'_>, key: &'k mut String) -> &'k str {
    key.clear();
    element.print(key);
    key
}

/// An empty tree is a member; one with something below is if it says so.
fn is_member(tree: &Map<String, Value>) -> bool {
    tree.is_empty() || tree.contains_key(".")
}

/// Takes a set out of a tree.
fn take(tree: &mut Map<String, Value>, set: &FieldSet<'_>, key: &mut String) {
    for entry in &set.entries {
        let Some(Value::Object(node)) = tree.get_mut(print(&entry.element, key)) else { continue };
        let stays = is_member(node) && !entry.member;
        node.remove(".");
        let was_leaf = node.is_empty();
        if !was_leaf {
            take(node, &entry.below, key);
        }
        if node.is_empty() && !stays {
            tree.remove(print(&entry.element, key));
        } else if !node.is_empty() && stays {
            node.insert(".".to_string(), Value::Object(Map::new()));
        }
    }
}

/// Puts a set into a tree.
fn give(tree: &mut Map<String, Value>, set: &FieldSet<'_>, key: &mut String) {
    for Entry { element, member, below } in &set.entries {
        match tree.get_mut(print(element, key)) {
            Some(Value::Object(node)) => {
                let member = *member || is_member(node);
                give(node, below, key);
                if member && !node.is_empty() {
                    node.insert(".".to_string(), Value::Object(Map::new()));
                }
            }
            _ => {
                tree.insert(key.clone(), Value::Object(below.tree(*member)));
            }
        }
    }
}
