//! Volumes of a pod.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::{Volumes, env};
use crate::check::Seen;
use crate::value::{entries, items, quantity, text};
use crate::{check, names};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Fields that a source cannot be without.
const REQUIRED: [(&str, &[&str]); 8] = [
    ("configMap", &["name"]),
    ("secret", &["secretName"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("hostPath", &["path"]),
    ("nfs", &["server", "path"]),
    ("csi", &["driver"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("rbd", &["image"]),
];

pub(super) fn all<'a>(volumes: &'a Value, path: &Path, errors: &mut FieldErrors) -> Volumes<'a> {
    let mut seen = Seen::new();
    let mut found = Volumes::new();
    for (index, volume) in items(volumes).iter().enumerate() {
        let path = path.index(index);
        check::named(&volume["name"], names::dns_label, &path.child("name"), errors);
        seen.add(text(&volume["name"]), &path.child("name"), errors);
        source(volume, &path, errors);
        found.insert(text(&volume["name"]), volume);
    }
    found
}

fn source(volume: &Value, path: &Path, errors: &mut FieldErrors) {
    let sources: Vec<(&str, &Value)> =
        entries(volume).filter(|(field, v)| *field != "name" && v.is_object()).collect();
    if sources.is_empty() {
        errors.push(FieldError::required(path.clone(), "must specify a volume type"));
    }
    for (index, (kind, source)) in sources.into_iter().enumerate() {
        let path = path.child(kind);
        if index > 0 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
            continue;
        }
        if let Some((_, fields)) = REQUIRED.iter().find(|(k, _)| *k == kind) {
            for field in *fields {
                check::required(&source[*field], &path.child(field), errors);
            }
        }
        match kind {
            "hostPath" => host_path(source, &path, errors),
            "emptyDir" => empty_dir(source, &path, errors),
            "configMap" | "secret" => keyed(source, &path, errors),
            "downwardAPI" => downward(source, &path, errors),
            "projected" => projected(source, &path, errors),
            _ => {}
        }
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut FieldErrors) {
    no_way_up(text(&source["path"]), &path.child("path"), errors);
    check::one_of(&source["type"], &HOST_PATH_TYPES, &path.child("type"), errors);
}

fn empty_dir(source: &Value, path: &Path, errors: &mut FieldErrors) {
    if quantity(&source["sizeLimit"]).is_some_and(|q| q.is_negative()) {
        let words = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(path.child("sizeLimit"), words));
    }
}

fn mode(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some(mode) = value.as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        errors.push(FieldError::invalid(path.clone(), mode, MODE));
    }
}

/// Files named after keys.
fn keyed(source: &Value, path: &Path, errors: &mut FieldErrors) {
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for (index, item) in items(&source["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        check::required(&item["key"], &path.child("key"), errors);
        if check::required(&item["path"], &path.child("path"), errors) {
            inner_path(text(&item["path"]), &path.child("path"), errors);
        }
        mode(&item["mode"], &path.child("mode"), errors);
    }
}

fn downward(source: &Value, path: &Path, errors: &mut FieldErrors) {
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for (index, item) in items(&source["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        if check::required(&item["path"], &path.child("path"), errors) {
            inner_path(text(&item["path"]), &path.child("path"), errors);
        }
        env::downward_item(item, &path, errors);
        mode(&item["mode"], &path.child("mode"), errors);
    }
}

fn projected(source: &Value, path: &Path, errors: &mut FieldErrors) {
    const SECONDS_MIN: i64 = 10 * 60;
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    for (index, part) in items(&source["sources"]).iter().enumerate() {
        let path = path.child("sources").index(index);
        let kinds: Vec<(&str, &Value)> = entries(part).filter(|(_, v)| v.is_object()).collect();
        if kinds.len() > 1 {
            errors.push(FieldError::forbidden(path.clone(), "may not specify more than 1 volume type"));
        }
        for (kind, source) in kinds {
            let path = path.child(kind);
            match kind {
                "configMap" | "secret" => {
                    check::required(&source["name"], &path.child("name"), errors);
                    keyed(source, &path, errors);
                }
                "downwardAPI" => downward(source, &path, errors),
                "serviceAccountToken" => {
                    let (seconds, at) = (&source["expirationSeconds"], path.child("expirationSeconds"));
                    check::at_least(
                        seconds,
                        SECONDS_MIN,
                        "may not specify a duration less than 10 minutes",
                        &at,
                        errors,
                    );
                    if check::required(&source["path"], &path.child("path"), errors) {
                        inner_path(text(&source["path"]), &path.child("path"), errors);
                    }
                }
                _ => {}
            }
        }
    }
}

fn no_way_up(value: &str, path: &Path, errors: &mut FieldErrors) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path.clone(), value, "must not contain '..'"));
    }
}

/// A path that stays within where it is put.
pub(super) fn inner_path(value: &str, path: &Path, errors: &mut FieldErrors) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path.clone(), value, "must be a relative path"));
    }
    no_way_up(value, path, errors);
}
