//! Removing what a manager applied before and applies no longer, unless somebody else owns it.

use std::borrow::Cow;

use serde_json::Value;

use super::compare::fields_of;
use super::fields::FieldSet;
use super::managed::{Manager, Owner, Owners};
use super::node::Node;
use super::remove::{name_all, remove};
use super::settle::{Request, VersionError};
use crate::meta;
use crate::schema::Schema;

/// `merged` without what `who` owned as `last` says and nobody owns now.
pub(super) fn prune(
    request: &Request<'_>,
    merged: Value,
    owners: &Owners<'_>,
    who: &Manager<'_>,
    last: Owner<'_>,
) -> Result<Value, String> {
    if last.fields.is_empty() {
        return Ok(merged);
    }
    let version = last.manager.api_version.to_string();
    if version == request.api_version && !gives_up(owners, who, &last.fields) {
        return Ok(merged);
    }
    let Some(merged) = to(request, Cow::Owned(merged.clone()), &version)? else { return Ok(merged) };
    let Some(schema) = schema_of(request, &version) else { return Ok(merged.into_owned()) };
    let node = Node::root(&schema);
    let last = named(node, last.fields);
    let mut pruned = merged.clone().into_owned();
    remove(node, &mut pruned, &last);
    for (version, owned) in owned_by_version(owners, &version) {
        pruned = give_back(request, &merged, pruned, version, owned)?;
    }
    // What was below a removed field but nobody's stays as well.
    let pruned = match to(request, Cow::Owned(pruned), &version)? {
        Some(pruned) => narrow(node, &merged, &pruned, |lost| lost.intersection(&last)),
        None => merged.into_owned(),
    };
    match to(request, Cow::Owned(pruned), request.api_version)? {
        Some(pruned) => Ok(pruned.into_owned()),
        None => Err(format!("no kind is registered for version {}", request.api_version)),
    }
}

/// Whether something that was owned is not owned any more.
fn gives_up(owners: &Owners<'_>, who: &Manager<'_>, last: &FieldSet<'_>) -> bool {
    let mut gone = last.clone();
    if let Some(now) = owners.iter().find(|owner| owner.manager.same(who)) {
        gone.subtract(&now.fields);
    }
    !gone.is_empty()
}

fn schema_of(request: &Request<'_>, version: &str) -> Option<Schema> {
    if version == request.api_version {
        Some(request.schema.clone())
    } else {
        request.versions.schema(version)
    }
}

/// The object in a version; none where it is not served.
fn to<'v>(
    request: &Request<'_>,
    object: Cow<'v, Value>,
    version: &str,
) -> Result<Option<Cow<'v, Value>>, String> {
    if meta::api_version(&object) == version {
        return Ok(Some(object));
    }
    match request.versions.convert(&object, version) {
        Ok(converted) => Ok(Some(Cow::Owned(converted))),
        Err(VersionError::Missing) => Ok(None),
        Err(VersionError::Failed(why)) => {
            Err(format!("failed to convert merged object to last applied version: {why}"))
        }
    }
}

/// The set with every named field on the way to a member.
fn named(node: Node<'_>, mut set: FieldSet<'_>) -> FieldSet<'static> {
    name_all(node, &mut set);
    set.into_owned()
}

/// What is owned, by the version in which it is: `first` before the others, for what conversions need is often there.
fn owned_by_version<'o>(owners: &'o Owners<'_>, first: &str) -> Vec<(&'o str, FieldSet<'o>)> {
    let mut out: Vec<(&str, FieldSet<'_>)> = Vec::new();
    for owner in owners {
        let (version, fields) = (&*owner.manager.api_version, owner.fields.clone());
        match out.iter_mut().find(|(other, _)| *other == version) {
            Some((_, owned)) => *owned = std::mem::take(owned).union(fields),
            None => out.push((version, fields)),
        }
    }
    out.sort_by_key(|(version, _)| (*version != first, *version));
    out
}

/// `pruned` with what is owned in this version, in this version; as it was where the version is not served.
fn give_back(
    request: &Request<'_>,
    merged: &Value,
    pruned: Value,
    version: &str,
    owned: FieldSet<'_>,
) -> Result<Value, String> {
    let Some(merged) = to(request, Cow::Borrowed(merged), version)? else { return Ok(pruned) };
    let Some(before) = to(request, Cow::Borrowed(&pruned), version)? else { return Ok(pruned) };
    let Some(schema) = schema_of(request, version) else { return Ok(pruned) };
    let node = Node::root(&schema);
    let owned = named(node, owned);
    Ok(narrow(node, &merged, &before, |mut lost| {
        lost.subtract(&owned);
        lost
    }))
}

/// Loses less of `merged` than `pruned` did: what `keep` leaves of that.
fn narrow(
    node: Node<'_>,
    merged: &Value,
    pruned: &Value,
    keep: impl FnOnce(FieldSet<'static>) -> FieldSet<'static>,
) -> Value {
    let mut lost = named(node, fields_of(node, merged));
    lost.subtract(&named(node, fields_of(node, pruned)));
    let mut out = merged.clone();
    remove(node, &mut out, &keep(lost));
    out
}
