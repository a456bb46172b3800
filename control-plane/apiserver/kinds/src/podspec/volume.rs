//! Volumes of a pod.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::{Volumes, env, projected, sources};
use crate::value::{entries, items, quantity, text};
use crate::{check, names};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn all<'a>(
    volumes: &'a Value,
    pod: Option<&str>,
    path: &Path,
    errors: &mut FieldErrors,
) -> Volumes<'a> {
    let mut found = Volumes::new();
    for (index, volume) in items(volumes).iter().enumerate() {
        let (path, before, name) = (path.index(index), errors.len(), text(&volume["name"]));
        source(volume, pod, &path, errors);
        check::named(&volume["name"], names::dns_label, &path.child("name"), errors);
        if found.contains_key(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        // Who mounts a volume that is wrong mounts none.
        if errors.len() == before {
            found.insert(name, volume);
        }
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if pod.is_some_and(|pod| made_for(pod, volumes).any(|made| made == claim)) {
            let at = path.child("persistentVolumeClaim").child("claimName");
            let words = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(at, claim, words));
        }
    }
    found
}

/// The claims that are made for the ephemeral volumes of a pod.
fn made_for(pod: &str, volumes: &Value) -> impl Iterator<Item = String> {
    let ephemeral = items(volumes).iter().filter(|volume| volume["ephemeral"].is_object());
    ephemeral.map(move |volume| made_of(pod, volume)).filter(|made| !made.is_empty())
}

/// The name of the claim; empty where a part of it is.
fn made_of(pod: &str, volume: &Value) -> String {
    let name = text(&volume["name"]);
    if pod.is_empty() || name.is_empty() { String::new() } else { format!("{pod}-{name}") }
}

fn source(volume: &Value, pod: Option<&str>, path: &Path, errors: &mut FieldErrors) {
    let is_pod = pod.is_some();
    let (mut given, at_name) = (0, path.child("name"));
    for (kind, source) in entries(volume).filter(|(field, v)| *field != "name" && v.is_object()) {
        let path = path.child(kind);
        given += 1;
        if given > 1 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
            continue;
        }
        match kind {
            "emptyDir" => empty_dir(source, &path, errors),
            "configMap" => {
                check::required(&source["name"], &path.child("name"), errors);
                keyed(source, &path, errors);
            }
            "secret" => {
                check::required(&source["secretName"], &path.child("secretName"), errors);
                keyed(source, &path, errors);
            }
            "downwardAPI" => downward(source, &path, errors),
            "projected" => projected::validate(source, &path, errors),
            "persistentVolumeClaim" => {
                check::required(&source["claimName"], &path.child("claimName"), errors);
            }
            "ephemeral" => {
                ephemeral(source, &path, errors);
                let made = pod.map(|pod| made_of(pod, volume)).filter(|made| !made.is_empty());
                for fault in made.iter().flat_map(|made| names::subdomain(made)) {
                    let words = format!("PVC name \"{}\": {fault}", made.as_deref().unwrap_or_default());
                    errors.push(FieldError::invalid(at_name.clone(), text(&volume["name"]), words));
                }
            }
            "image" => image(source, is_pod, &path, errors),
            "csi" => inline_csi(source, &path, errors),
            "gitRepo" => {
                check::required(&source["repository"], &path.child("repository"), errors);
                inner_path(text(&source["directory"]), &path.child("directory"), errors);
            }
            _ => sources::validate(kind, source, &path, errors),
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path.clone(), "must specify a volume type"));
    }
}

fn empty_dir(source: &Value, path: &Path, errors: &mut FieldErrors) {
    if quantity(&source["sizeLimit"]).is_some_and(|q| q.is_negative()) {
        let words = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(path.child("sizeLimit"), words));
    }
}

/// An object of a registry, mounted. A template may leave the reference to whoever completes it.
fn image(source: &Value, is_pod: bool, path: &Path, errors: &mut FieldErrors) {
    let (reference, at) = (text(&source["reference"]), path.child("reference"));
    if is_pod && reference.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if is_pod && reference.trim() != reference {
        let words = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(at, reference, words));
    }
    check::must_be_one_of(&source["pullPolicy"], &PULL_POLICIES, &path.child("pullPolicy"), errors);
}

fn inline_csi(source: &Value, path: &Path, errors: &mut FieldErrors) {
    sources::csi_driver(&source["driver"], &path.child("driver"), errors);
    let secret = &source["nodePublishSecretRef"];
    let at = path.child("nodePublishSecretRef").child("name");
    if secret.is_object() && check::required(&secret["name"], &at, errors) {
        check::syntax(text(&secret["name"]), names::subdomain, &path.child("name"), errors);
    }
}

/// A claim made with the pod and gone with it.
fn ephemeral(source: &Value, path: &Path, errors: &mut FieldErrors) {
    let (template, at) = (&source["volumeClaimTemplate"], path.child("volumeClaimTemplate"));
    if !template.is_object() {
        return errors.push(FieldError::required(at, ""));
    }
    let meta = &template["metadata"];
    check::labels(&meta["labels"], &at.child("metadata").child("labels"), errors);
    check::annotations(&meta["annotations"], &at.child("metadata").child("annotations"), errors);
    for (field, _) in entries(meta).filter(|(field, _)| !matches!(*field, "labels" | "annotations")) {
        let at = at.child("metadata").child(field);
        errors.push(FieldError::forbidden(at, "cannot be set for an ephemeral volume"));
    }
    crate::core::volume::claim_spec(&template["spec"], &at.child("spec"), errors);
}

pub(super) fn mode(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some(mode) = value.as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        errors.push(FieldError::invalid(path.clone(), mode, MODE));
    }
}

/// Files named after keys.
pub(super) fn keyed(source: &Value, path: &Path, errors: &mut FieldErrors) {
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for (index, item) in items(&source["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        check::required(&item["key"], &path.child("key"), errors);
        if check::required(&item["path"], &path.child("path"), errors) {
            unreserved_path(text(&item["path"]), &path.child("path"), errors);
        }
        mode(&item["mode"], &path.child("mode"), errors);
    }
}

pub(super) fn downward(source: &Value, path: &Path, errors: &mut FieldErrors) {
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for item in items(&source["items"]) {
        downward_file(item, path, errors);
    }
}

/// The path is the volume's, not the item's: so upstream tells it.
pub(super) fn downward_file(item: &Value, path: &Path, errors: &mut FieldErrors) {
    if check::required(&item["path"], &path.child("path"), errors) {
        unreserved_path(text(&item["path"]), &path.child("path"), errors);
    }
    env::downward_item(item, path, errors);
    mode(&item["mode"], &path.child("mode"), errors);
}

pub(crate) fn no_way_up(value: &str, path: &Path, errors: &mut FieldErrors) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path.clone(), value, "must not contain '..'"));
    }
}

/// A path that stays within where it is put.
pub(crate) fn inner_path(value: &str, path: &Path, errors: &mut FieldErrors) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path.clone(), value, "must be a relative path"));
    }
    no_way_up(value, path, errors);
}

/// The same, where names that begin with two dots are the volume's own.
pub(super) fn unreserved_path(value: &str, path: &Path, errors: &mut FieldErrors) {
    inner_path(value, path, errors);
    if value.starts_with("..") && !value.starts_with("../") && value != ".." {
        errors.push(FieldError::invalid(path.clone(), value, "must not start with '..'"));
    }
}
