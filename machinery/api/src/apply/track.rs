//! What an update, a create or a patch leaves in `managedFields`.

use std::borrow::Cow;

use serde_json::Value;

use super::compare::Delta;
use super::element::same;
use super::in_place;
use super::managed::{self, Operation, Owner, Owners};
use super::settle::{Request, changes, conversions, refit, set_managed, settle};
use crate::meta;

/// Sets `managedFields` of `new`, which replaces `live` (nothing, if it is created). Both are whole, defaulted objects in the
/// request's version. What is wrong with stored or sent entries never fails a write.
pub fn track(request: &Request<'_>, live: Option<&Value>, new: &mut Value) {
    let sent = meta::remove(new, "managedFields");
    let entries = tracked(request, live, new, sent);
    set_managed(new, entries);
}

/// The entries that a change starts from.
struct Base {
    entries: Vec<Value>,
    /// This server wrote them: they are in canonical form.
    canonical: bool,
}

impl Base {
    fn live(entries: &[Value]) -> Self {
        Self { entries: entries.to_vec(), canonical: true }
    }
}

fn tracked(request: &Request<'_>, live: Option<&Value>, new: &Value, sent: Option<Value>) -> Vec<Value> {
    let live_entries = live.map_or(&[][..], meta::managed_fields);
    let is_stored = live.is_some_and(|live| !meta::uid(live).is_empty());
    let base = match sent {
        Some(Value::Array(entries)) if request.subresource.is_empty() && is_reset(&entries) => {
            if is_stored {
                return Vec::new();
            }
            Base { entries: Vec::new(), canonical: true }
        }
        // Most clients send what they have read, and patches leave it as it is.
        Some(Value::Array(entries)) if same_entries(&entries, live_entries) => {
            Base { entries, canonical: true }
        }
        Some(Value::Array(entries))
            if request.subresource.is_empty() && managed::decode(&entries).is_ok() =>
        {
            Base { entries, canonical: false }
        }
        _ => Base::live(live_entries),
    };
    if base.entries.is_empty() && is_stored {
        // Nobody asked to track this object; it stays so until somebody applies.
        return Vec::new();
    }
    let delta = changes(request.node(), request.reset, live, new);
    if delta.is_same() {
        let forgets =
            base.entries.iter().any(managed::owns_nothing) && managed::decode(&base.entries).is_ok();
        let stays = base.canonical && !forgets;
        return if stays { base.entries } else { rewritten(request, &base.entries) };
    }
    let entries = if base.canonical {
        match in_place::update(request, base.entries, &delta) {
            Ok(entries) => return entries,
            Err(entries) => entries,
        }
    } else {
        base.entries
    };
    changed(request, live, new, &entries, delta).unwrap_or_else(|| live_entries.to_vec())
}

/// What a client wrote into the entries, in this server's form.
fn rewritten(request: &Request<'_>, entries: &[Value]) -> Vec<Value> {
    let mut owners = managed::decode(entries).unwrap_or_default();
    refit(request, &mut owners);
    owners.retain(|owner| !owner.fields.is_empty());
    managed::encode(owners)
}

fn same_entries(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// Clients forget all owners by sending an empty list, or a list of one empty entry.
fn is_reset(entries: &[Value]) -> bool {
    match entries {
        [] => true,
        [one] => one.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}

/// The new entries; none where they cannot be computed and the old ones must do.
fn changed<'a>(
    request: &Request<'a>,
    live: Option<&'a Value>,
    new: &'a Value,
    entries: &'a [Value],
    delta: Delta<'a>,
) -> Option<Vec<Value>> {
    let mut owners = managed::decode(entries).unwrap_or_default();
    if !owners.is_empty() {
        refit(request, &mut owners);
        let converted = conversions(request, &owners, live, new).ok()?;
        let forced = settle(request, &mut owners, None, &delta, &converted, true);
        debug_assert!(forced.is_ok(), "forced changes have no conflicts");
    }
    let fields = delta.added.union(delta.modified);
    if !fields.is_empty() {
        own(request, &mut owners, fields);
    }
    managed::cap(&mut owners);
    Some(managed::encode(owners))
}

/// The long way from the entries of `live`, to compare the short one with.
#[cfg(test)]
pub(super) fn the_long_way(request: &Request<'_>, live: &Value, new: &Value) -> Option<Vec<Value>> {
    let delta = changes(request.node(), request.reset, Some(live), new);
    changed(request, Some(live), new, meta::managed_fields(live), delta)
}

/// Gives what changed to the manager of the request.
fn own<'a>(request: &Request<'a>, owners: &mut Owners<'a>, fields: super::FieldSet<'a>) {
    let manager = request.who(Operation::Update);
    let time = Cow::Owned(meta::print_time(request.now));
    match owners.iter_mut().find(|owner| owner.manager.same(&manager)) {
        Some(owner) => {
            owner.fields = std::mem::take(&mut owner.fields).union(fields);
            owner.time = time;
        }
        None => owners.push(Owner { manager, time, fields }),
    }
}

/// The manager that owns what was there before somebody first applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The owners of an object that nobody tracked so far.
pub(super) fn owners_before_apply<'a>(request: &Request<'a>, live: &'a Value) -> Owners<'a> {
    let request = Request { manager: BEFORE_FIRST_APPLY, ..*request };
    let delta = changes(request.node(), request.reset, None, live);
    let fields = delta.added.union(delta.modified);
    let mut owners = Owners::new();
    if !fields.is_empty() {
        own(&request, &mut owners, fields);
    }
    owners
}

/// Takes the times of `old`'s entries over if nothing but times is different, so that a write that changes nothing writes
/// nothing. Says whether it did.
pub fn keep_times(old: &Value, new: &mut Value) -> bool {
    let (was, is) = (meta::managed_fields(old), meta::managed_fields(new));
    let timeless = |a: &Value, b: &Value| {
        let members =
            |v: &'_ Value| v.as_object().map_or(0, |m| m.len() - usize::from(m.contains_key("time")));
        members(a) == members(b)
            && a.as_object().is_some_and(|a| a.iter().all(|(k, v)| k == "time" || b.get(k) == Some(v)))
    };
    let only_times = !is.is_empty()
        && was.len() == is.len()
        && was.iter().zip(is).any(|(a, b)| a.get("time") != b.get("time"))
        && was.iter().zip(is).all(|(a, b)| timeless(a, b))
        && same_but_managed(old, new);
    if only_times {
        let entries = was.to_vec();
        set_managed(new, entries);
    }
    only_times
}

fn same_but_managed(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let rest = |(name, _): &(&String, &Value)| *name != "managedFields";
    let same_member = |((ak, av), (bk, bv)): ((&String, &Value), (&String, &Value))| match (av, bv) {
        _ if ak != bk => false,
        (Value::Object(a), Value::Object(b)) if ak == "metadata" => {
            a.iter().filter(rest).eq(b.iter().filter(rest))
        }
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(same_member)
}
