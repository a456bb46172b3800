//! Applying a configuration to an object (KEP-555): merge, give up what is no longer wanted, find conflicts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::compare::fields_of;
use super::conflict::{ApplyError, Conflicts};
use super::element::same;
use super::last_applied;
use super::managed::{self, Manager, Operation, Owner, Owners};
use super::merge::merge;
use super::prune::prune;
use super::settle::{Request, changes, conversions, copy_without_managed, refit, set_managed, settle, strip};
use super::track::owners_before_apply;
use super::validate::validate;
use crate::meta;

/// The result of an apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The merged object with its new `managedFields`. Not defaulted; values are as the configuration spelt them.
    pub object: Value,
    /// Whether more than `managedFields` is different.
    pub changed: bool,
}

/// Applies `config` (what the client sent, unread) to `live` (whole, in the request's version), or makes a new object of it.
pub fn apply(
    request: &Request<'_>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Applied, ApplyError> {
    check(request, config)?;
    let nothing = Value::Object(Map::new());
    let live = live.unwrap_or(&nothing);
    let by_kubectl = request.manager == last_applied::KUBECTL;
    let mut applied = match attempt(request, live, config, force) {
        Err(ApplyError::Conflict(conflicts)) if by_kubectl => upgrade(request, live, config, conflicts)?,
        other => other?,
    };
    if by_kubectl && last_applied::has(&applied.object) {
        last_applied::set(&mut applied.object, config);
    }
    Ok(applied)
}

/// Fields that client-side apply set and nobody changed since are not in conflict with kubectl's server-side apply.
fn upgrade(
    request: &Request<'_>,
    live: &Value,
    config: &Value,
    conflicts: Conflicts,
) -> Result<Applied, ApplyError> {
    let Some(allowed) = last_applied::owned(request, live) else {
        return Err(ApplyError::Conflict(conflicts));
    };
    let left = conflicts.without(&allowed);
    if left.is_empty() { attempt(request, live, config, true) } else { Err(ApplyError::Conflict(left)) }
}

fn check(request: &Request<'_>, config: &Value) -> Result<(), ApplyError> {
    let bad = |told: String| Err(ApplyError::BadRequest(told));
    if !config.is_object() {
        let found = match config {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            _ => return check_type(request, config),
        };
        return bad(format!(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go \
             value of type map[string]interface {{}}"
        ));
    }
    check_type(request, config)?;
    let managed = config.get("metadata").and_then(|meta| meta.get("managedFields"));
    if managed.is_some_and(Value::is_array) {
        return bad("metadata.managedFields must be nil".to_string());
    }
    validate(request.node(), config).map_err(|told| {
        let (namespace, name) = (meta::namespace(config), meta::name(config));
        let gvk = gvk_text(request.api_version, request.kind);
        ApplyError::Unfit(format!("failed to create typed patch object ({namespace}/{name}; {gvk}): {told}"))
    })
}

fn check_type(request: &Request<'_>, config: &Value) -> Result<(), ApplyError> {
    let (version, kind) = (meta::api_version(config), meta::kind(config));
    if version == request.api_version && kind == request.kind {
        return Ok(());
    }
    Err(ApplyError::BadRequest(format!("invalid object type: {}", gvk_text(version, kind))))
}

/// `apps/v1, Kind=Deployment`; the core group leaves its slash.
fn gvk_text(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

fn attempt(request: &Request<'_>, live: &Value, config: &Value, force: bool) -> Result<Applied, ApplyError> {
    let entries = meta::managed_fields(live);
    let mut owners = managed::decode(entries)
        .map_err(|error| ApplyError::Unfit(format!("failed to decode managed fields: {error}")))?;
    if owners.is_empty() {
        owners = owners_before_apply(request, live);
    } else {
        refit(request, &mut owners);
    }
    let mut merged = copy_without_managed(live);
    merge(request.node(), &mut merged, config);

    let who = request.who(Operation::Apply);
    let last = claim(request, &mut owners, &who, config);
    if let Some(last) = last {
        merged = prune(request, merged, &owners, &who, last)
            .map_err(|why| ApplyError::Unfit(format!("failed to prune fields: {why}")))?;
    }

    let delta = changes(request.node(), request.reset, Some(live), &merged);
    let converted = conversions(request, &owners, Some(live), &merged)
        .map_err(|why| ApplyError::Unfit(format!("failed to convert new object: {why}")))?;
    settle(request, &mut owners, Some(&who), &delta, &converted, force).map_err(ApplyError::Conflict)?;

    let changed = !delta.is_same() || !unchanged(live, &merged);
    if let Some(owner) = owners.iter_mut().find(|owner| owner.manager.same(&who)) {
        strip(&mut owner.fields);
        if changed {
            owner.time = Cow::Owned(meta::print_time(request.now));
        }
    }
    owners.retain(|owner| !owner.fields.is_empty());
    let entries = managed::encode(owners);
    set_managed(&mut merged, entries);
    Ok(Applied { object: merged, changed })
}

/// Puts what the configuration says in place of what the manager owned; gives that back.
fn claim<'a>(
    request: &Request<'a>,
    owners: &mut Owners<'a>,
    who: &Manager<'a>,
    config: &'a Value,
) -> Option<Owner<'a>> {
    let mut fields = fields_of(request.node(), config);
    request.reset.apply(&mut fields);
    match owners.iter_mut().find(|owner| owner.manager.same(who)) {
        Some(owner) => {
            let time = owner.time.clone();
            Some(std::mem::replace(owner, Owner { manager: who.clone(), time, fields }))
        }
        None => {
            owners.push(Owner { manager: who.clone(), time: Cow::Borrowed(""), fields });
            None
        }
    }
}

/// Whether two objects are the same in everything but `managedFields`, the order of lists included. Empty values count as
/// absent ones: what differs between them is how they are spelt.
fn unchanged(live: &Value, merged: &Value) -> bool {
    fn alike(a: &Value, b: &Value, in_meta: bool, depth: usize) -> bool {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                let here = |name: &str| depth == 0 && name == "metadata";
                let skipped = |name: &str| in_meta && name == "managedFields";
                let within = |a: &Map<String, Value>, b: &Map<String, Value>| {
                    a.iter().all(|(name, value)| {
                        skipped(name)
                            || match b.get(name) {
                                Some(other) => alike(value, other, here(name), depth + 1),
                                None => is_zero(value),
                            }
                    })
                };
                within(a, b) && b.iter().all(|(k, v)| skipped(k) || a.contains_key(k) || is_zero(v))
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, false, depth + 1))
            }
            (Value::Object(members), Value::Null) | (Value::Null, Value::Object(members)) => {
                members.iter().all(|(name, value)| (in_meta && name == "managedFields") || is_zero(value))
            }
            (a, b) => same(a, b),
        }
    }
    alike(live, merged, false, 0)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
