//! How a change of an object changes who owns what: the part that updates and applies share.

use std::borrow::Cow;

use serde_json::Value;

use super::compare::{Delta, compare};
use super::conflict::Conflicts;
use super::element::Element;
use super::fields::FieldSet;
use super::managed::{Manager, Operation, Owner, Owners};
use super::node::Node;
use super::remove::fit;
use super::reset::Reset;
use crate::meta;
use crate::schema::Schema;

/// Why an object has no form in another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The version is not served any more; what was owned in it is forgotten.
    #[error("no such version")]
    Missing,
    #[error("{0}")]
    Failed(String),
}

/// The other versions of a resource. Only asked where managers wrote in another version than the request's.
pub trait Versions: Sync {
    /// The object in another version. The object's own version stands in it.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, VersionError>;
    /// What objects of this version look like; none where it is not served.
    fn schema(&self, api_version: &str) -> Option<Schema>;
}

/// For resources that have one version only.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn convert(&self, _: &Value, _: &str) -> Result<Value, VersionError> {
        Err(VersionError::Missing)
    }

    fn schema(&self, _: &str) -> Option<Schema> {
        None
    }
}

/// Who writes, through what, and when.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub schema: &'a Schema,
    /// Of the endpoint: `apps/v1`.
    pub api_version: &'a str,
    pub kind: &'a str,
    /// See [`manager_or_user_agent`](super::manager_or_user_agent).
    pub manager: &'a str,
    /// Empty for the main resource.
    pub subresource: &'a str,
    pub reset: &'a Reset,
    pub versions: &'a dyn Versions,
    pub now: jiff::Timestamp,
}

impl<'a> Request<'a> {
    pub(super) fn node(&self) -> Node<'a> {
        Node::root(self.schema)
    }

    pub(super) fn who(&self, operation: Operation) -> Manager<'a> {
        let name = if self.manager.is_empty() { "unknown" } else { self.manager };
        Manager {
            name: Cow::Borrowed(name),
            operation,
            api_version: Cow::Borrowed(self.api_version),
            subresource: Cow::Borrowed(self.subresource),
        }
    }
}

/// The two objects in another version, or nothing where it is not served.
pub(super) struct Converted {
    version: String,
    objects: Option<(Value, Value, Schema)>,
}

/// Converts both objects to each version that an owner wrote in.
pub(super) fn conversions(
    request: &Request<'_>,
    owners: &Owners<'_>,
    old: Option<&Value>,
    new: &Value,
) -> Result<Vec<Converted>, String> {
    let mut out: Vec<Converted> = Vec::new();
    for owner in owners {
        let version = &*owner.manager.api_version;
        if version == request.api_version || out.iter().any(|c| c.version == version) {
            continue;
        }
        let convert = |object: &Value| request.versions.convert(object, version);
        let both = match request.versions.schema(version) {
            None => Err(VersionError::Missing),
            Some(schema) => old
                .map_or(Ok(super::node::empty_object().clone()), convert)
                .and_then(|old| Ok((old, convert(new)?, schema))),
        };
        let objects = match both {
            Ok(objects) => Some(objects),
            Err(VersionError::Missing) => None,
            Err(VersionError::Failed(why)) => return Err(why),
        };
        out.push(Converted { version: version.to_string(), objects });
    }
    Ok(out)
}

/// The difference of two objects as far as it is tracked.
pub(super) fn changes<'a>(
    node: Node<'a>,
    reset: &Reset,
    old: Option<&'a Value>,
    new: &'a Value,
) -> Delta<'a> {
    let mut delta = compare(node, old, Some(new));
    for set in [&mut delta.added, &mut delta.modified, &mut delta.removed] {
        strip(set);
        reset.apply(set);
    }
    delta
}

/// Fits what is owned to today's schemas; what was owned in versions that are gone is forgotten.
pub(super) fn refit(request: &Request<'_>, owners: &mut Owners<'_>) {
    owners.retain_mut(|owner| {
        let other;
        let schema = if owner.manager.api_version == request.api_version {
            request.schema
        } else {
            match request.versions.schema(&owner.manager.api_version) {
                Some(schema) => {
                    other = schema;
                    &other
                }
                None => return false,
            }
        };
        fit(Node::root(schema), &mut owner.fields);
        true
    });
}

/// Takes what changed from those who owned it. The owner at `own` is left alone. Without `force`, fields that others own
/// may not change.
pub(super) fn settle(
    request: &Request<'_>,
    owners: &mut Owners<'_>,
    own: Option<&Manager<'_>>,
    delta: &Delta<'_>,
    converted: &[Converted],
    force: bool,
) -> Result<(), Conflicts> {
    let others: Vec<(&str, Option<Delta<'_>>)> = converted
        .iter()
        .map(|c| {
            let delta = c
                .objects
                .as_ref()
                .map(|(old, new, schema)| changes(Node::root(schema), request.reset, Some(old), new));
            (c.version.as_str(), delta)
        })
        .collect();
    let delta_of = |owner: &Owner<'_>| {
        if owner.manager.api_version == request.api_version {
            return Some(delta);
        }
        others.iter().find(|(version, _)| *version == owner.manager.api_version)?.1.as_ref()
    };
    let is_own = |owner: &Owner<'_>| own.is_some_and(|own| owner.manager.same(own));
    if !force {
        let mut conflicts = Vec::new();
        for owner in owners.iter().filter(|owner| !is_own(owner)) {
            let Some(delta) = delta_of(owner) else { continue };
            let changed = owner.fields.intersection(&delta.modified);
            let taken = changed.union(owner.fields.intersection(&delta.added));
            if !taken.is_empty() {
                conflicts.push((owned(&owner.manager), taken.into_owned()));
            }
        }
        if !conflicts.is_empty() {
            return Err(Conflicts::new(conflicts));
        }
    }
    owners.retain_mut(|owner| {
        if !is_own(owner) {
            let Some(delta) = delta_of(owner) else { return false };
            owner.fields.subtract(&delta.modified);
            owner.fields.subtract(&delta.added);
            owner.fields.subtract(&delta.removed);
        }
        !owner.fields.is_empty()
    });
    Ok(())
}

fn owned(manager: &Manager<'_>) -> Manager<'static> {
    Manager {
        name: Cow::Owned(manager.name.to_string()),
        operation: manager.operation,
        api_version: Cow::Owned(manager.api_version.to_string()),
        subresource: Cow::Owned(manager.subresource.to_string()),
    }
}

const NEVER_OWNED: [&str; 9] = [
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Takes out what nobody owns: the type, and the part of the metadata that is the server's or the object's identity.
pub(super) fn strip(set: &mut FieldSet<'_>) {
    set.entries.retain_mut(|entry| {
        let Element::Field(name) = &entry.element else { return true };
        match &**name {
            "apiVersion" | "kind" => entry.member = false,
            "metadata" => {
                entry.member = false;
                entry.below.entries.retain_mut(|inner| {
                    if matches!(&inner.element, Element::Field(name) if NEVER_OWNED.contains(&&**name)) {
                        inner.member = false;
                    }
                    inner.member || !inner.below.is_empty()
                });
            }
            _ => {}
        }
        entry.member || !entry.below.is_empty()
    });
}

/// A copy without `managedFields`, which are never copied: they are the larger half of many objects.
pub(super) fn copy_without_managed(object: &Value) -> Value {
    let Value::Object(members) = object else { return object.clone() };
    let copied = members.iter().map(|(name, value)| {
        let value = match value {
            Value::Object(meta) if name == "metadata" => {
                let kept = meta.iter().filter(|(name, _)| *name != "managedFields");
                Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            other => other.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(copied.collect())
}

pub(super) fn set_managed(object: &mut Value, entries: Vec<Value>) {
    if entries.is_empty() {
        meta::remove(object, "managedFields");
    } else {
        meta::metadata_mut(object).insert("managedFields".to_string(), Value::Array(entries));
    }
}
