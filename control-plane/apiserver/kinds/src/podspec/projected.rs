//! Projected volumes: several sources in one directory.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::volume::{downward_file, keyed, mode, unreserved_path};
use crate::check;
use crate::value::{entries, int, items, text};

const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const CONFLICT: &str = "conflicting duplicate paths";

pub(super) fn validate(source: &Value, path: &Path, errors: &mut FieldErrors) {
    mode(&source["defaultMode"], &path.child("defaultMode"), errors);
    let mut files = Files { seen: HashSet::new(), at: path };
    for (index, part) in items(&source["sources"]).iter().enumerate() {
        let path = path.child("sources").index(index);
        let mut given = 0;
        for (kind, source) in entries(part).filter(|(_, v)| v.is_object()) {
            given += 1;
            one(kind, source, &path.child(kind), &mut files, errors);
        }
        if given > 1 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
        }
    }
}

/// The files that sources make, each of its own name.
struct Files<'a> {
    seen: HashSet<&'a str>,
    at: &'a Path,
}

impl<'a> Files<'a> {
    fn add(&mut self, file: &'a str, told: &str, errors: &mut FieldErrors) {
        if !file.is_empty() && !self.seen.insert(file) {
            errors.push(FieldError::invalid(self.at.clone(), told, CONFLICT));
        }
    }
}

fn one<'a>(kind: &str, source: &'a Value, path: &Path, files: &mut Files<'a>, errors: &mut FieldErrors) {
    match kind {
        "configMap" | "secret" => {
            check::required(&source["name"], &path.child("name"), errors);
            keyed(source, path, errors);
            for item in items(&source["items"]) {
                files.add(text(&item["path"]), text(&source["name"]), errors);
            }
        }
        "downwardAPI" => {
            for item in items(&source["items"]) {
                downward_file(item, path, errors);
                files.add(text(&item["path"]), text(&item["path"]), errors);
            }
        }
        "serviceAccountToken" => token(source, path, files.at, errors),
        "clusterTrustBundle" => {
            trust_bundle(source, path, errors);
            files.add(text(&source["path"]), text(&source["path"]), errors);
        }
        _ => {}
    }
}

/// The path of a token is told of the volume.
fn token(source: &Value, path: &Path, volume: &Path, errors: &mut FieldErrors) {
    let (seconds, at) = (int(&source["expirationSeconds"]), path.child("expirationSeconds"));
    if seconds < TOKEN_SECONDS_MIN {
        let words = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(at, seconds, words));
    } else if seconds > TOKEN_SECONDS_MAX {
        let words = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(at, seconds, words));
    }
    if check::required(&source["path"], &volume.child("path"), errors) {
        unreserved_path(text(&source["path"]), &volume.child("path"), errors);
    }
}

fn trust_bundle(source: &Value, path: &Path, errors: &mut FieldErrors) {
    match (source["name"].as_str(), source["signerName"].as_str()) {
        (Some(_), Some(_)) => {
            let words = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(path.clone(), source.clone(), words));
        }
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(FieldError::required(path.child("name"), "must be a valid object name"));
            }
            if !source["labelSelector"].is_null() {
                let words = "labelSelector must be unset if name is specified";
                let at = path.child("labelSelector");
                errors.push(FieldError::invalid(at, source["labelSelector"].clone(), words));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.push(FieldError::required(path.child("signerName"), "must be a valid signer name"));
            }
            check::selector(&source["labelSelector"], &path.child("labelSelector"), errors);
        }
        (None, None) => {
            errors.push(FieldError::required(path.clone(), "either name or signerName must be specified"));
        }
    }
    if check::required(&source["path"], &path.child("path"), errors) {
        unreserved_path(text(&source["path"]), &path.child("path"), errors);
    }
}
