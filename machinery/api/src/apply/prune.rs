//! Removing what a manager applied before and applies no longer, unless somebody else owns it.

use std::borrow::Cow;

use serde_json::Value;

use super::compare::fields_of;
use super::fields::FieldSet;
use super::managed::{Manager, Owner, Owners};
use super::node::Node;
use super::remove::{ensure_named, remove};
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
    let mut last_named = last.fields;
    ensure_named(node, &mut last_named);
    let mut pruned = merged.clone().into_owned();
    remove(node, &mut pruned, &last_named);
    let pruned = add_back_owned(request, &merged, pruned, &version, owners)?;
    let pruned = match to(request, Cow::Owned(pruned), &version)? {
        Some(pruned) => add_back_dangling(node, &merged, &pruned, &last_named),
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

fn named(node: Node<'_>, mut set: FieldSet<'_>) -> FieldSet<'static> {
    ensure_named(node, &mut set);
    set.into_owned()
}

/// Adds back what anybody owns: version by version, that of `pruned` first, so that what conversions need is there.
fn add_back_owned(
    request: &Request<'_>,
    merged: &Value,
    mut pruned: Value,
    version: &str,
    owners: &Owners<'_>,
) -> Result<Value, String> {
    let mut versions: Vec<&str> = owners.iter().map(|owner| &*owner.manager.api_version).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.sort_by_key(|other| *other != version);
    for at in versions {
        let (Some(merged), Some(before)) =
            (to(request, Cow::Borrowed(merged), at)?, to(request, Cow::Borrowed(&pruned), at)?)
        else {
            continue;
        };
        let Some(schema) = schema_of(request, at) else { continue };
        let node = Node::root(&schema);
        let of_version = owners.iter().filter(|owner| owner.manager.api_version == at);
        let managed = of_version.fold(FieldSet::new(), |all, owner| all.union(owner.fields.clone()));
        let mut gone = named(node, fields_of(node, &merged));
        gone.subtract(&named(node, fields_of(node, &before)));
        gone.subtract(&named(node, managed));
        let mut kept = merged.into_owned();
        remove(node, &mut kept, &gone);
        pruned = kept;
    }
    Ok(pruned)
}

/// Adds back what the manager did not own: what is below a removed field but belongs to nobody.
fn add_back_dangling(node: Node<'_>, merged: &Value, pruned: &Value, last: &FieldSet<'_>) -> Value {
    let mut gone = named(node, fields_of(node, merged));
    gone.subtract(&named(node, fields_of(node, pruned)));
    let gone = gone.intersection(last);
    let mut out = merged.clone();
    remove(node, &mut out, &gone);
    out
}
