//! Ownership of the replica count, between an object and its scale subresource: they are one field under two names.

use std::borrow::Cow;

use serde_json::Value;

use super::element::Element;
use super::fields::FieldSet;
use super::managed::{self, ManagedError, Owner, Owners};

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: [&str; 2] = ["spec", "replicas"];

/// Where the replica count is in each version of the resource: `("apps/v1", Some(&["spec", "replicas"]))`; none for versions
/// that cannot be scaled. Entries of versions that are not listed are dropped.
pub type ReplicasPaths<'p> = [(&'p str, Option<&'p [&'p str]>)];

fn path<'p>(paths: &ReplicasPaths<'p>, version: &str) -> Option<Option<&'p [&'p str]>> {
    paths.iter().find(|(other, _)| *other == version).map(|(_, path)| *path)
}

fn elements<'p>(path: &[&'p str]) -> Vec<Element<'p>> {
    path.iter().map(|name| Element::Field(Cow::Borrowed(*name))).collect()
}

fn only<'p>(path: &[&'p str]) -> FieldSet<'p> {
    FieldSet::of_fields(&[path])
}

/// The `managedFields` that the Scale of an object shows.
pub fn scale_entries(parent: &[Value], paths: &ReplicasPaths<'_>) -> Result<Vec<Value>, ManagedError> {
    let mut owners = managed::decode(parent)?;
    owners.retain_mut(|owner| {
        let Some(Some(path)) = path(paths, &owner.manager.api_version) else { return false };
        if !owner.fields.contains(&elements(path)) {
            return false;
        }
        owner.manager.api_version = Cow::Borrowed(SCALE_VERSION);
        owner.fields = only(&SCALE_REPLICAS);
        true
    });
    Ok(managed::encode(owners))
}

/// The `managedFields` of the object after its Scale was written with these; `version` is the object's.
pub fn parent_entries(
    parent: &[Value],
    scale: &[Value],
    version: &str,
    paths: &ReplicasPaths<'_>,
) -> Result<Vec<Value>, ManagedError> {
    let mut scale = managed::decode(scale)?;
    let mut out: Owners<'_> = Vec::new();
    for mut owner in managed::decode(parent)? {
        let Some(path) = path(paths, &owner.manager.api_version) else { continue };
        let has = path.is_some_and(|path| owner.fields.contains(&elements(path)));
        if has && let Some(path) = path {
            match scale.iter().position(|other| matches(other, &owner)) {
                Some(at) => {
                    scale.remove(at);
                }
                // The scale subresource took the field.
                None => owner.fields.subtract(&only(path)),
            }
        }
        if !owner.fields.is_empty() {
            out.push(owner);
        }
    }
    let Some(Some(path)) = path(paths, version) else { return Ok(managed::encode(out)) };
    for mut owner in scale {
        if !owner.fields.contains(&elements(&SCALE_REPLICAS)) {
            continue;
        }
        owner.manager.api_version = Cow::Borrowed(version);
        match out.iter_mut().find(|other| other.manager.same(&owner.manager)) {
            Some(there) => there.fields = std::mem::take(&mut there.fields).union(only(path)),
            None => {
                owner.fields = only(path);
                out.push(owner);
            }
        }
    }
    Ok(managed::encode(out))
}

/// Whether a manager of the scale is this manager of the object, whose version the scale's entry cannot tell.
fn matches(scale: &Owner<'_>, parent: &Owner<'_>) -> bool {
    scale.manager.name == parent.manager.name
        && scale.manager.operation == parent.manager.operation
        && scale.manager.subresource == parent.manager.subresource
}
