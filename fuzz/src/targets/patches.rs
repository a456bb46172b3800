//! The three patches. The input is `[document, patch]`.

use oarlock_api::Table;
use oarlock_api::codec::json;
use oarlock_api::patch::{JsonPatch, NESTING_MAX, merge_patch, strategic_merge};
use serde_json::Value;

use super::type_of;
use crate::Seen;

pub(super) const JSON_WORDS: &[&str] = &[
    "op",
    "path",
    "from",
    "value",
    "add",
    "remove",
    "replace",
    "move",
    "copy",
    "test",
    "/metadata",
    "/metadata/labels",
    "/a",
    "/a/b",
    "/a/-",
    "/a/0",
    "/a/-1",
    "",
    "/",
    "/~0",
    "/~1",
    "/spec/containers/0/image",
];
pub(super) const STRATEGIC_WORDS: &[&str] = &[
    "$patch",
    "replace",
    "delete",
    "merge",
    "$retainKeys",
    "$setElementOrder/containers",
    "$setElementOrder/finalizers",
    "$deleteFromPrimitiveList/finalizers",
    "$deleteFromPrimitiveList",
    "$setElementOrder",
    "containers",
    "name",
    "env",
    "ports",
    "finalizers",
    "metadata",
    "spec",
    "volumes",
    "labels",
    "image",
    "a",
    "b",
    "tolerations",
    "template",
];

/// The two halves of an input.
fn halves(input: &[u8]) -> Option<(Value, Value)> {
    match serde_json::from_slice(input).ok()? {
        Value::Array(mut halves) if halves.len() >= 2 => Some((halves[0].take(), halves[1].take())),
        _ => None,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn json(input: &[u8]) -> Seen {
    let Some((mut document, patch)) = halves(input) else { return Seen::NOTHING };
    let text = patch.to_string();
    let patch = JsonPatch::parse(text.as_bytes());
    let seen = Seen::NOTHING.result("parse", &patch);
    let Ok(patch) = patch else { return seen };
    let before = (document.to_string().len(), depth(&document));
    let seen = patch.complaints().iter().take(1).fold(seen, |seen, told| seen.and("complaint", told));
    let applied = patch.apply(&mut document);
    if applied.is_ok() {
        let after = document.to_string().len();
        assert!(
            after <= before.0 + text.len() + oarlock_api::patch::COPY_BYTES_MAX + 64,
            "{after} of {}",
            before.0
        );
        assert!(depth(&document) <= NESTING_MAX.max(before.1), "{}", depth(&document));
    }
    seen.result("apply", &applied)
}

pub(super) fn merge(input: &[u8]) -> Seen {
    let Some((document, patch)) = halves(input) else { return Seen::NOTHING };
    let merged = merge_patch(&document, &patch);
    let seen = Seen::NOTHING.result("merge", &merged);
    if let Ok(merged) = merged {
        assert_eq!(merge_patch(&merged, &patch).as_ref(), Ok(&merged), "a merge patch applied twice");
        return seen.and("changed", merged == document);
    }
    seen
}

pub(super) fn strategic(input: &[u8]) -> Seen {
    let Some((document, patch)) = halves(input) else { return Seen::NOTHING };
    let table = Table::builtin();
    let ty = type_of(&document);
    // What is patched is always an object of its type.
    let Ok(document) = json::decode_value(table, ty, &document) else { return Seen::NOTHING };
    let merged = strategic_merge(table, ty, &document.value, &patch);
    let seen = Seen::NOTHING.result("merge", &merged);
    let Ok(merged) = merged else { return seen };
    let decoded = json::decode_value(table, ty, &merged);
    let seen = seen.result("decode", &decoded);
    if let Ok(decoded) = decoded {
        return seen.and("changed", decoded.value == document.value);
    }
    seen
}
