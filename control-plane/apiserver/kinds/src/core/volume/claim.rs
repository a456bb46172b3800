//! PersistentVolumeClaims. (`ValidatePersistentVolumeClaim`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{differ_but, entries, is_set, items, quantity, remove, text};
use crate::{check, names};

pub(super) const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const FROZEN: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";

/// The two names of a data source say the same; what is no claim or snapshot must be told by the newer name.
pub(super) fn prepare(claim: &mut Value, old: Option<&Value>) {
    let before = old.map_or(&Value::Null, |old| &old["spec"]);
    let Some(spec) = claim.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    // CrossNamespaceVolumeDataSource is off.
    if before["dataSourceRef"]["namespace"].is_null()
        && let Some(reference) = spec.get_mut("dataSourceRef")
    {
        remove(reference, "namespace");
    }
    if before["dataSource"].is_null() && !is_classic(&spec["dataSource"]) && spec["dataSourceRef"].is_null() {
        remove(spec, "dataSource");
    }
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if source.is_object() && reference.is_null() {
        spec["dataSourceRef"] = source;
    } else if source.is_null() && reference.is_object() && reference["namespace"].is_null() {
        spec["dataSource"] = reference;
    }
}

/// A claim, or a snapshot of one.
fn is_classic(source: &Value) -> bool {
    match text(&source["apiGroup"]) {
        "" => source["kind"] == "PersistentVolumeClaim",
        "snapshot.storage.k8s.io" => source["kind"] == "VolumeSnapshot",
        _ => false,
    }
}

pub(super) fn modes(spec: &Value, words: &str, path: &Path, errors: &mut FieldErrors) {
    let (given, at) = (items(&spec["accessModes"]), path.child("accessModes"));
    if given.is_empty() {
        errors.push(FieldError::required(at.clone(), words));
    }
    for mode in given {
        check::given_one_of(mode, &MODES, &at, errors);
    }
    let alone = |mode: &Value| mode == "ReadWriteOncePod";
    if given.iter().any(alone) && !given.iter().all(alone) {
        errors.push(FieldError::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
    }
}

/// A positive number of whole bytes.
pub(super) fn storage(value: &Value, at: &Path, errors: &mut FieldErrors) {
    match quantity(value) {
        None => errors.push(FieldError::required(at.clone(), "")),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            errors.push(FieldError::invalid(at.clone(), amount.to_string(), "must be greater than zero"));
        }
        Some(amount) if amount.milli_value() % 1000 != 0 => {
            errors.push(FieldError::invalid(at.clone(), amount.to_string(), "must be an integer"));
        }
        Some(_) => {}
    }
}

pub(super) fn validate(claim: &Value, errors: &mut FieldErrors) {
    spec(&claim["spec"], &Path::new("spec"), errors);
}

/// Of a claim, or of a template of claims.
pub(crate) fn spec(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    check::selector(&spec["selector"], &path.child("selector"), errors);
    modes(spec, "at least 1 access mode is required", path, errors);
    storage(&spec["resources"]["requests"]["storage"], &path.child("resources").key("storage"), errors);
    check::optional(&spec["storageClassName"], names::subdomain, &path.child("storageClassName"), errors);
    check::given_one_of(&spec["volumeMode"], &VOLUME_MODES, &path.child("volumeMode"), errors);
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    data_source(source, &path.child("dataSource"), errors);
    data_source(reference, &path.child("dataSourceRef"), errors);
    if source.is_object() && reference.is_object() {
        let told = path.child("dataSource").to_string();
        if is_set(&reference["namespace"]) {
            let words = "may not be specified when dataSourceRef.namespace is specified";
            errors.push(FieldError::invalid(path.clone(), told, words));
        } else if differ_but(source, reference, &["namespace"]) {
            errors.push(FieldError::invalid(path.clone(), told, "must match dataSourceRef"));
        }
    }
    let at = path.child("volumeAttributesClassName");
    check::optional(&spec["volumeAttributesClassName"], names::subdomain, &at, errors);
}

fn data_source(source: &Value, path: &Path, errors: &mut FieldErrors) {
    if !source.is_object() {
        return;
    }
    check::required(&source["name"], &path.child("name"), errors);
    check::required(&source["kind"], &path.child("kind"), errors);
    if text(&source["apiGroup"]).is_empty() && source["kind"] != "PersistentVolumeClaim" {
        let words = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path.clone(), text(&source["kind"]), words));
    }
    check::optional(&source["apiGroup"], names::subdomain, &path.child("apiGroup"), errors);
}

/// Only the size may grow, once it is bound; binding itself sets the volume's name.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return status(&new["status"], errors);
    }
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let bound = new["status"]["phase"] == "Bound";
    let mut free = vec!["resources"];
    if text(&was["volumeName"]).is_empty() {
        free.push("volumeName");
    }
    // The default class may come later.
    if was["storageClassName"].is_null() && old["metadata"]["annotations"][BETA_CLASS].is_null() {
        free.push("storageClassName");
    }
    free.push("volumeAttributesClassName");
    let unbound_class = !bound && now["volumeAttributesClassName"] != was["volumeAttributesClassName"];
    if differ_but(now, was, &free) || unbound_class || resources_differ(now, was, bound) {
        errors.push(FieldError::forbidden(path.clone(), FROZEN));
    }
    let size = |spec: &Value| quantity(&spec["resources"]["requests"]["storage"]).unwrap_or_default();
    if size(now) < size(was) {
        let held = quantity(&old["status"]["capacity"]["storage"]).unwrap_or_default();
        if size(now) <= held {
            let at = path.child("resources").child("requests").child("storage");
            errors.push(FieldError::forbidden(at, "field can not be less than status.capacity"));
        }
    }
    check::immutable(&now["volumeMode"], &was["volumeMode"], &Path::new("volumeMode"), errors);
    attributes_class(new, old, &path.child("volumeAttributesClassName"), errors);
}

fn resources_differ(now: &Value, was: &Value, bound: bool) -> bool {
    let (now, was) = (&now["resources"], &was["resources"]);
    let free: &[&str] = if bound { &["storage"] } else { &[] };
    differ_but(now, was, &["requests"]) || differ_but(&now["requests"], &was["requests"], free)
}

/// A class that has come into effect is not taken away.
fn attributes_class(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let field = "volumeAttributesClassName";
    let (now, was) = (&new["spec"][field], &old["spec"][field]);
    if now == was || old["status"]["currentVolumeAttributesClassName"].is_null() {
        return;
    }
    let to = match now.as_str() {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return,
    };
    let words =
        format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
    errors.push(FieldError::forbidden(path.clone(), words));
}

fn status(status: &Value, errors: &mut FieldErrors) {
    let path = Path::new("status");
    for (name, value) in entries(&status["capacity"]) {
        basic(value, &path.child("capacity").key(name), errors);
    }
    let at = path.child("allocatedResourceStatuses");
    for (name, value) in entries(&status["allocatedResourceStatuses"]) {
        resource_key(name, &at, errors);
        if !RESIZES.contains(&text(value)) {
            errors.push(FieldError::not_supported(at.clone(), name, &RESIZES));
        }
    }
    let at = path.child("allocatedResources");
    for (name, value) in entries(&status["allocatedResources"]) {
        let before = errors.len();
        resource_key(name, &at, errors);
        if errors.len() == before {
            amount(value, &at.key(name), errors);
        }
    }
}

const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// An amount of anything; true if it is one.
fn basic(value: &Value, at: &Path, errors: &mut FieldErrors) -> bool {
    let negative = quantity(value).map(|amount| amount.value()).filter(|amount| *amount < 0);
    if let Some(amount) = negative {
        errors.push(FieldError::invalid(at.clone(), amount, "must be a valid resource quantity"));
    }
    negative.is_none()
}

/// An amount of whole bytes.
fn amount(value: &Value, at: &Path, errors: &mut FieldErrors) {
    if !basic(value, at, errors) {
        return;
    }
    if let Some(amount) = quantity(value).filter(|amount| amount.milli_value() % 1000 != 0) {
        errors.push(FieldError::invalid(at.clone(), amount.to_string(), "must be an integer"));
    }
}

/// What of a claim can be resized: its storage, or what a driver calls by a name of its own.
fn resource_key(name: &str, at: &Path, errors: &mut FieldErrors) {
    let before = errors.len();
    check::syntax(name, names::qualified, at, errors);
    let own = name.split_once('/').is_some_and(|(domain, _)| !domain.contains("kubernetes.io"));
    if errors.len() == before && name != "storage" && !own {
        errors.push(FieldError::not_supported(at.clone(), name, &["storage"]));
    }
}

pub(super) fn warn(claim: &Value, _old: Option<&Value>, told: &mut Vec<String>) {
    if !claim["metadata"]["annotations"][BETA_CLASS].is_null() {
        let at = Path::new("metadata").child("annotations").key(BETA_CLASS);
        told.push(format!("{at}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    warnings(&claim["spec"], &Path::new("spec"), told);
}

pub(crate) fn warnings(spec: &Value, path: &Path, told: &mut Vec<String>) {
    for kind in ["requests", "limits"] {
        let amount = quantity(&spec["resources"][kind]["storage"]);
        if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
            let (at, amount) = (path.child("resources").child(kind).key("storage"), amount.to_string());
            told.push(format!("{at}: fractional byte value {amount:?} is invalid, must be an integer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data_sources_have_two_names() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        let other = json!({"apiGroup": "x.io", "kind": "Thing", "name": "c"});
        let cases = [
            (json!({"dataSource": claim}), json!({"dataSource": claim, "dataSourceRef": claim})),
            (json!({"dataSourceRef": claim}), json!({"dataSource": claim, "dataSourceRef": claim})),
            (json!({"dataSourceRef": other}), json!({"dataSource": other, "dataSourceRef": other})),
            (json!({"dataSource": other}), json!({})),
        ];
        for (spec, want) in cases {
            let mut object = json!({ "spec": spec });
            prepare(&mut object, None);
            assert_eq!(object["spec"], want);
        }
    }
}
