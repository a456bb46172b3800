//! Server-side apply: sets of fields, and configurations. The input of `apply` is `[live, configuration, update]`.

use oarlock_api::apply::{self, ApplyError, FieldSet, OneVersion, Request, Reset};
use oarlock_api::codec::json;
use oarlock_api::{Schema, Table, meta};
use serde_json::Value;

use super::type_of;
use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "f:metadata",
    "f:labels",
    "f:spec",
    "f:containers",
    "k:{\"name\":\"a\"}",
    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}",
    "v:\"x\"",
    "v:1",
    "i:0",
    ".",
    "f:",
    "k:{}",
    "k:[]",
    "v:",
    "x:",
    "managedFields",
    "manager",
    "operation",
    "Apply",
    "Update",
    "fieldsV1",
    "fieldsType",
    "FieldsV1",
    "apiVersion",
    "apps/v1",
    "v1",
    "time",
    "2024-01-02T03:04:05Z",
    "subresource",
    "status",
    "metadata",
    "spec",
    "containers",
    "name",
    "ports",
    "containerPort",
    "protocol",
    "finalizers",
    "labels",
    "data",
    "env",
    "a",
    "b",
    "ownerReferences",
    "uid",
    "conditions",
    "type",
];

pub(super) fn fields(input: &[u8]) -> Seen {
    let set = FieldSet::from_json(input);
    let seen = Seen::NOTHING.result("read", &set);
    let Ok(set) = set else { return seen };
    let text = set.to_json();
    let again = FieldSet::from_json(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(again, set, "{text}");
    assert_eq!(again.to_json(), text);
    let tree = set.to_value();
    assert_eq!(FieldSet::from_value(&tree).as_ref(), Ok(&set), "{tree}");
    let mut gone = set.clone();
    gone.subtract(&set);
    assert!(gone.is_empty());
    assert_eq!(set.intersection(&set), set);
    assert_eq!(set.clone().union(set.clone()), set);
    seen.and("size", set.len().min(4))
}

pub(super) fn apply(input: &[u8]) -> Seen {
    let Ok(Value::Array(mut parts)) = serde_json::from_slice::<Value>(input) else { return Seen::NOTHING };
    parts.resize(3, Value::Null);
    let [live, config, update] = [parts[0].take(), parts[1].take(), parts[2].take()];
    let (table, ty) = (Table::builtin(), type_of(&live));
    let normal = |value: &Value| json::decode_value(table, ty, value).ok().map(|decoded| decoded.value);
    let Some(live) = normal(&live).filter(Value::is_object) else { return Seen::NOTHING };
    // The endpoint's version and kind, as those of what is stored.
    if table.type_for(&meta::gvk(&live)).is_none() {
        return Seen::NOTHING;
    }
    let (schema, reset) = (Schema::Typed(ty), Reset::Nothing);
    let (version, kind) = (meta::api_version(&live).to_string(), meta::kind(&live).to_string());
    let request = Request {
        schema: &schema,
        api_version: &version,
        kind: &kind,
        manager: "fuzz",
        subresource: "",
        reset: &reset,
        versions: &OneVersion,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let seen = track(&request, &live, normal(&update));
    let applied = apply::apply(&request, Some(&live), &config, true);
    let seen = seen.result("apply", &applied);
    match applied {
        Err(ApplyError::Conflict(conflicts)) => panic!("forced, and in conflict: {conflicts}"),
        Err(error) => seen.and("status", error.to_status().code),
        Ok(applied) => {
            check_entries(&applied.object);
            // An object that a client could have stored takes the same configuration again without a change.
            let Some(stored) = normal(&applied.object) else { return seen };
            let again = apply::apply(&request, Some(&stored), &config, false);
            let settled = apply::apply(&request, Some(&applied.object), &config, false);
            let settled = settled.unwrap_or_else(|error| panic!("what was forced is owned: {error}"));
            assert!(!settled.changed, "applied twice: {} then {}", applied.object, settled.object);
            seen.result("again", &again).and("changed", applied.changed)
        }
    }
}

/// An update never fails, and leaves entries that can be read.
fn track(request: &Request<'_>, live: &Value, update: Option<Value>) -> Seen {
    let Some(mut new) = update.filter(Value::is_object) else { return Seen::NOTHING };
    apply::track(request, Some(live), &mut new);
    // What is stored was written by a server, so it can be read.
    if apply::decode(meta::managed_fields(live)).is_ok() {
        check_entries(&new);
    }
    Seen::NOTHING.and("owners", meta::managed_fields(&new).len().min(3))
}

fn check_entries(object: &Value) {
    let owners = apply::decode(meta::managed_fields(object)).unwrap_or_else(|e| panic!("{e}: {object}"));
    assert!(owners.iter().all(|owner| !owner.fields.is_empty()), "{object}");
}
