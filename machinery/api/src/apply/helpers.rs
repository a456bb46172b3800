//! Merging and extracting without ownership: what admission policies and clients need.

use serde_json::Value;

use super::managed::{self, ManagedError, Operation};
use super::merge::merge;
use super::node::{Merge, Node, Shape};
use super::remove;
use super::validate::validate;
use crate::meta;
use crate::schema::Schema;

/// A configuration that cannot be merged. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    #[error("failed to convert patch object to typed object: {0}")]
    Unfit(String),
    /// An admission policy's configuration may not replace things as a whole.
    #[error("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}", .0.join(", "))]
    Atomic(Vec<String>),
}

/// Merges a configuration into an object as an `ApplyConfiguration` of a MutatingAdmissionPolicy is: nobody's ownership
/// changes, nothing is removed, atomic things are refused.
pub fn merge_unowned(schema: &Schema, live: &Value, config: &Value) -> Result<Value, MergeError> {
    let node = Node::root(schema);
    validate(node, config).map_err(MergeError::Unfit)?;
    let mut atomic = Vec::new();
    atomic_paths(node, config, &mut String::new(), &mut atomic);
    if !atomic.is_empty() {
        return Err(MergeError::Atomic(atomic));
    }
    let mut merged = live.clone();
    merge(node, &mut merged, config);
    Ok(merged)
}

/// Fields that the schema names and that are atomic, nested ones as well; items are told by their index.
fn atomic_paths(node: Node<'_>, value: &Value, path: &mut String, out: &mut Vec<String>) {
    let length = path.len();
    match (node.shape(Some(value)), value) {
        (Shape::Map(members), Value::Object(object)) => {
            if members.atomic {
                out.push(path.clone());
            }
            for (name, value) in object {
                if let Some(known) = members.member(name).filter(|member| member.named) {
                    path.push('.');
                    path.push_str(name);
                    atomic_paths(known.node, value, path, out);
                    path.truncate(length);
                }
            }
        }
        (Shape::List(list), Value::Array(values)) => {
            if matches!(list.merge, Merge::Atomic) {
                out.push(path.clone());
            }
            for (at, value) in values.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                atomic_paths(list.item, value, path, out);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The configuration that a manager last applied, as far as the object still has it: its fields, the type and the name.
pub fn extract(
    schema: &Schema,
    object: &Value,
    manager: &str,
    subresource: &str,
) -> Result<Option<Value>, ManagedError> {
    let owners = managed::decode(meta::managed_fields(object))?;
    let is_wanted = |m: &managed::Manager<'_>| {
        m.operation == Operation::Apply && m.name == manager && m.subresource == subresource
    };
    let Some(owner) = owners.iter().find(|owner| is_wanted(&owner.manager)) else { return Ok(None) };
    let mut out = remove::extract(Node::root(schema), object, &owner.fields);
    meta::set_name(&mut out, meta::name(object));
    meta::set_namespace(&mut out, meta::namespace(object));
    for field in ["apiVersion", "kind"] {
        if let Some(value) = object.get(field) {
            out[field] = value.clone();
        }
    }
    Ok(Some(out))
}

/// The versions that managers of this object wrote in, other than `api_version`: where there are none, the request's
/// `versions` are never asked.
pub fn other_versions<'v>(object: &'v Value, api_version: &str) -> Vec<&'v str> {
    let entries = meta::managed_fields(object).iter();
    let mut out: Vec<&str> = entries
        .filter_map(|entry| entry.get("apiVersion").and_then(Value::as_str))
        .filter(|version| *version != api_version)
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}
