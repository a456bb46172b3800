//! Cheap looks at, and small changes to, the metadata that every object has.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::gvk::GroupVersionKind;

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    metadata(object).and_then(|meta| meta.get(field)).and_then(Value::as_str).unwrap_or_default()
}

fn map<'v>(object: &'v Value, field: &str) -> Option<&'v Map<String, Value>> {
    metadata(object)?.get(field)?.as_object()
}

fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    metadata(object).and_then(|meta| meta.get(field)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.as_object()
}

/// The metadata, made if it is missing. The object itself becomes one if it is none.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    child_map(object.as_object_mut().expect("it was made an object above"), "metadata")
}

fn child_map<'v>(parent: &'v mut Map<String, Value>, name: &str) -> &'v mut Map<String, Value> {
    let slot = parent.entry(name).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was made an object above")
}

pub fn api_version(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

pub fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

pub fn gvk(object: &Value) -> GroupVersionKind {
    GroupVersionKind::from_api_version(api_version(object), kind(object))
}

pub fn set_gvk(object: &mut Value, gvk: &GroupVersionKind) {
    object["apiVersion"] = Value::from(gvk.api_version());
    object["kind"] = Value::from(&*gvk.kind);
}

pub fn name(object: &Value) -> &str {
    text(object, "name")
}

pub fn generate_name(object: &Value) -> &str {
    text(object, "generateName")
}

/// Empty for objects of the cluster.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

pub fn generation(object: &Value) -> i64 {
    metadata(object).and_then(|meta| meta.get("generation")).and_then(Value::as_i64).unwrap_or_default()
}

pub fn creation_timestamp(object: &Value) -> Option<Timestamp> {
    text(object, "creationTimestamp").parse().ok()
}

pub fn deletion_timestamp(object: &Value) -> Option<Timestamp> {
    text(object, "deletionTimestamp").parse().ok()
}

/// Whether deletion was asked for.
pub fn is_deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

pub fn deletion_grace_period_seconds(object: &Value) -> Option<i64> {
    metadata(object)?.get("deletionGracePeriodSeconds")?.as_i64()
}

pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    map(object, "labels")
}

pub fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    labels(object)?.get(key)?.as_str()
}

pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    map(object, "annotations")
}

pub fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    annotations(object)?.get(key)?.as_str()
}

pub fn owner_references(object: &Value) -> &[Value] {
    list(object, "ownerReferences")
}

/// The owner that manages the object, if there is one.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|owner| owner["controller"] == true)
}

pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "finalizers").iter().filter_map(Value::as_str)
}

pub fn managed_fields(object: &Value) -> &[Value] {
    list(object, "managedFields")
}

/// Sets a text field of the metadata; an empty text removes it.
fn set_text(object: &mut Value, field: &str, value: &str) {
    if value.is_empty() {
        remove(object, field);
    } else {
        metadata_mut(object).insert(field.to_string(), Value::from(value));
    }
}

/// Removes a field of the metadata and gives it back.
pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(field)
}

pub fn set_name(object: &mut Value, name: &str) {
    set_text(object, "name", name);
}

pub fn set_namespace(object: &mut Value, namespace: &str) {
    set_text(object, "namespace", namespace);
}

pub fn set_uid(object: &mut Value, uid: &str) {
    set_text(object, "uid", uid);
}

pub fn set_resource_version(object: &mut Value, version: &str) {
    set_text(object, "resourceVersion", version);
}

/// Zero removes it, as upstream omits it.
pub fn set_generation(object: &mut Value, generation: i64) {
    if generation == 0 {
        remove(object, "generation");
    } else {
        metadata_mut(object).insert("generation".to_string(), Value::from(generation));
    }
}

pub fn set_creation_timestamp(object: &mut Value, at: Timestamp) {
    set_text(object, "creationTimestamp", &print_time(at));
}

pub fn set_deletion(object: &mut Value, at: Timestamp, grace_seconds: i64) {
    set_text(object, "deletionTimestamp", &print_time(at));
    metadata_mut(object).insert("deletionGracePeriodSeconds".to_string(), Value::from(grace_seconds));
}

pub fn set_label(object: &mut Value, key: &str, value: &str) {
    child_map(metadata_mut(object), "labels").insert(key.to_string(), Value::from(value));
}

pub fn remove_label(object: &mut Value, key: &str) -> bool {
    remove_key(object, "labels", key)
}

pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    child_map(metadata_mut(object), "annotations").insert(key.to_string(), Value::from(value));
}

pub fn remove_annotation(object: &mut Value, key: &str) -> bool {
    remove_key(object, "annotations", key)
}

/// An emptied map goes with its last key, as upstream omits it.
fn remove_key(object: &mut Value, field: &str, key: &str) -> bool {
    let meta = metadata_mut(object);
    let Some(Value::Object(map)) = meta.get_mut(field) else { return false };
    let removed = map.remove(key).is_some();
    if map.is_empty() {
        meta.remove(field);
    }
    removed
}

/// Whether it was added, that is, was not there before.
pub fn add_finalizer(object: &mut Value, finalizer: &str) -> bool {
    if finalizers(object).any(|present| present == finalizer) {
        return false;
    }
    let slot = metadata_mut(object).entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
    match slot {
        Value::Array(list) => list.push(Value::from(finalizer)),
        other => *other = Value::Array(vec![Value::from(finalizer)]),
    }
    true
}

/// Whether it was there.
pub fn remove_finalizer(object: &mut Value, finalizer: &str) -> bool {
    let meta = metadata_mut(object);
    let Some(Value::Array(list)) = meta.get_mut("finalizers") else { return false };
    let before = list.len();
    list.retain(|present| present != finalizer);
    let removed = list.len() < before;
    if list.is_empty() {
        meta.remove("finalizers");
    }
    removed
}

/// `2024-01-02T03:04:05Z`.
pub fn print_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2024-01-02T03:04:05.123456Z`.
pub fn print_micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn setters_build_and_clear() {
        let mut object = json!({});
        set_name(&mut object, "web");
        set_label(&mut object, "app", "web");
        assert!(add_finalizer(&mut object, "x/y") && !add_finalizer(&mut object, "x/y"));
        set_generation(&mut object, 2);
        set_deletion(&mut object, Timestamp::from_second(0).expect("in range"), 30);
        assert_eq!((name(&object), label(&object, "app"), generation(&object)), ("web", Some("web"), 2));
        assert!(is_deleting(&object));
        assert_eq!(text(&object, "deletionTimestamp"), "1970-01-01T00:00:00Z");
        assert!(remove_finalizer(&mut object, "x/y") && remove_label(&mut object, "app"));
        assert_eq!((metadata(&object).expect("set").len(), labels(&object)), (4, None));
    }

    #[test]
    fn getters_stand_odd_objects() {
        for odd in
            [json!(null), json!([]), json!({"metadata": 3}), json!({"metadata": {"labels": [], "name": 1}})]
        {
            assert_eq!((name(&odd), labels(&odd), finalizers(&odd).count()), ("", None, 0));
        }
    }
}
