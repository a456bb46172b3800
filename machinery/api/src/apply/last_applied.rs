//! kubectl's client-side apply, and how an object moves from it to server-side apply: the annotation that holds what was
//! applied last.

use serde_json::Value;

use super::compare::{compare, fields_of};
use super::fields::FieldSet;
use super::node::Node;
use super::settle::Request;
use super::validate::validate;
use crate::meta;

pub(super) const KUBECTL: &str = "kubectl";
/// Where client-side apply keeps what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations of an object together.
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

/// Whether the object was applied by the client once.
pub(super) fn has(object: &Value) -> bool {
    meta::annotation(object, LAST_APPLIED).is_some_and(|text| !text.is_empty())
}

/// Keeps the annotation true: later client-side applies see what was applied here. It goes if it is too large.
pub(super) fn set(object: &mut Value, config: &Value) {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            meta::remove(&mut config, "annotations");
        }
    }
    let text = format!("{config}\n");
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    annotations.insert(LAST_APPLIED.to_string(), Value::from(text));
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATION_BYTES_MAX {
        annotations.remove(LAST_APPLIED);
    }
}

/// The fields that client-side apply set and that are still as it set them.
pub(super) fn owned(request: &Request<'_>, live: &Value) -> Option<FieldSet<'static>> {
    let text = meta::annotation(live, LAST_APPLIED).filter(|text| !text.is_empty())?;
    let last: Value = serde_json::from_str(text).ok()?;
    let node: Node<'_> = request.node();
    if meta::api_version(&last) != request.api_version || validate(node, &last).is_err() {
        return None;
    }
    let mut fields = fields_of(node, &last);
    let delta = compare(node, Some(&last), Some(live));
    fields.subtract(&delta.modified);
    fields.subtract(&delta.added);
    fields.subtract(&delta.removed);
    Some(fields.into_owned())
}
