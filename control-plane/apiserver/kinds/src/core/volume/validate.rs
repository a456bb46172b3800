//! Validation of PersistentVolumes and claims.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{entries, items, quantity, remove, text};
use crate::{check, names, podspec};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const SOURCE_WORDS: &str = "spec.persistentvolumesource is immutable after creation";
/// What of a volume's spec is no source.
const PLAIN_FIELDS: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

fn modes(spec: &Value, words: &str, path: &Path, errors: &mut FieldErrors) {
    let (given, at) = (items(&spec["accessModes"]), path.child("accessModes"));
    if given.is_empty() {
        errors.push(FieldError::required(at.clone(), words));
    }
    for mode in given {
        check::one_of(mode, &MODES, &at, errors);
    }
    if given.len() > 1 && given.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn storage(list: &Value, path: &Path, errors: &mut FieldErrors) {
    match quantity(&list["storage"]) {
        None => errors.push(FieldError::required(path.key("storage"), "")),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            errors.push(FieldError::invalid(
                path.key("storage"),
                amount.to_string(),
                "must be greater than zero",
            ));
        }
        Some(_) => {}
    }
}

pub(super) fn claim(claim: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&claim["spec"], Path::new("spec"));
    modes(spec, "at least 1 access mode is required", &path, errors);
    storage(&spec["resources"]["requests"], &path.child("resources"), errors);
    check::optional(&spec["storageClassName"], names::subdomain, &path.child("storageClassName"), errors);
    check::one_of(&spec["volumeMode"], &VOLUME_MODES, &path.child("volumeMode"), errors);
    check::selector(&spec["selector"], &path.child("selector"), errors);
}

/// Only the size may grow, once it is bound; binding itself sets the volume's name.
pub(super) fn claim_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return;
    }
    let (mut now, was) = (new["spec"].clone(), &old["spec"]);
    let size = |spec: &Value| quantity(&spec["resources"]["requests"]["storage"]);
    let path = Path::new("spec");
    let bound = old["status"]["phase"] == "Bound";
    if let (Some(wanted), Some(had)) = (size(&now), size(was))
        && wanted < had
    {
        let at = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(at, "field can not be less than status.capacity"));
    } else if bound && !was["resources"].is_null() {
        now["resources"] = was["resources"].clone();
    }
    if text(&was["volumeName"]).is_empty() {
        remove(&mut now, "volumeName");
    }
    // The default class may come later.
    if was["storageClassName"].is_null() {
        remove(&mut now, "storageClassName");
    }
    crate::value::keep(&mut now, was, "volumeAttributesClassName");
    if now != *was {
        let words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(path, words));
    }
}

fn source_of(spec: &Value) -> Vec<(&str, &Value)> {
    entries(spec).filter(|(field, _)| !PLAIN_FIELDS.contains(field)).collect()
}

pub(super) fn volume(volume: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&volume["spec"], Path::new("spec"));
    modes(spec, "", &path, errors);
    if entries(&spec["capacity"]).next().is_none() {
        errors.push(FieldError::required(path.child("capacity"), ""));
    } else {
        storage(&spec["capacity"], &path.child("capacity"), errors);
    }
    check::one_of(
        &spec["persistentVolumeReclaimPolicy"],
        &POLICIES,
        &path.child("persistentVolumeReclaimPolicy"),
        errors,
    );
    check::one_of(&spec["volumeMode"], &VOLUME_MODES, &path.child("volumeMode"), errors);
    check::optional(&spec["storageClassName"], names::subdomain, &path.child("storageClassName"), errors);
    match source_of(spec).as_slice() {
        [] => errors.push(FieldError::required(path.clone(), "must specify a volume type")),
        [_] => {}
        [_, more @ ..] => errors.extend(more.iter().map(|(kind, _)| {
            FieldError::forbidden(path.child(kind), "may not specify more than 1 volume type")
        })),
    }
    if spec["hostPath"].is_object() {
        check::required(&spec["hostPath"]["path"], &path.child("hostPath").child("path"), errors);
    }
    let affinity = path.child("nodeAffinity");
    if spec["nodeAffinity"]["required"].is_object() {
        podspec::node_selector(&spec["nodeAffinity"]["required"], &affinity.child("required"), errors);
    } else if spec["local"].is_object() {
        errors.push(FieldError::required(affinity, "Local volume requires node affinity"));
    }
}

pub(super) fn volume_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    if context.subresource == "status" {
        return;
    }
    if source_of(now) != source_of(was) {
        errors.push(FieldError::forbidden(path.clone(), SOURCE_WORDS));
    }
    check::immutable(&now["volumeMode"], &was["volumeMode"], &path.child("volumeMode"), errors);
    if !was["nodeAffinity"].is_null() {
        check::immutable(&now["nodeAffinity"], &was["nodeAffinity"], &path.child("nodeAffinity"), errors);
    }
}
