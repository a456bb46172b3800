//! Where a container sees the pod's volumes.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::container::is_privileged;
use super::{Volumes, inner_path};
use crate::check::{self, Seen};
use crate::value::{is_true, items, text};

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const RECURSIONS: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];

/// Some faults are told of the list, not of the item: so upstream does it.
pub(super) fn mounts(container: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    let list = items(&container["volumeMounts"]);
    let (device_names, device_paths) = told(&container["volumeDevices"], "devicePath");
    let mut paths = Seen::new();
    for (index, mount) in list.iter().enumerate() {
        let at = path.index(index);
        let (name, place) = (text(&mount["name"]), text(&mount["mountPath"]));
        check::required(&mount["name"], &at.child("name"), errors);
        if !volumes.contains_key(name) {
            errors.push(FieldError::not_found(at.child("name"), name));
        }
        check::required(&mount["mountPath"], &at.child("mountPath"), errors);
        if !paths.is_new(place) {
            errors.push(FieldError::invalid(at.child("mountPath"), place, "must be unique"));
        }
        if device_names.contains(name) {
            let words = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(at.child("name"), name, words));
        }
        if device_paths.contains(place) {
            let words = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(at.child("mountPath"), place, words));
        }
        sub_path(mount, &at, path, errors);
        propagation(mount, container, &path.child("mountPropagation"), errors);
        recursive(mount, &path.child("recursiveReadOnly"), errors);
    }
}

/// The names and the places of a list of mounts or devices.
fn told<'v>(list: &'v Value, place: &str) -> (HashSet<&'v str>, HashSet<&'v str>) {
    let of = |field: &str| items(list).iter().filter_map(|item| item[field].as_str()).collect();
    (of("name"), of(place))
}

fn sub_path(mount: &Value, at: &Path, list: &Path, errors: &mut FieldErrors) {
    let (sub, expression) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
    inner_path(sub, &list.child("subPath"), errors);
    if !expression.is_empty() {
        if !sub.is_empty() {
            let words = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(at.child("subPathExpr"), expression, words));
        }
        inner_path(expression, &list.child("subPathExpr"), errors);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path, errors: &mut FieldErrors) {
    check::given_one_of(&mount["mountPropagation"], &PROPAGATIONS, path, errors);
    if mount["mountPropagation"] == "Bidirectional" && !is_privileged(container) {
        let words = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path.clone(), words));
    }
}

fn recursive(mount: &Value, path: &Path, errors: &mut FieldErrors) {
    check::given_one_of(&mount["recursiveReadOnly"], &RECURSIONS, path, errors);
    if !matches!(text(&mount["recursiveReadOnly"]), "Enabled" | "IfPossible") {
        return;
    }
    if !is_true(&mount["readOnly"]) {
        errors.push(FieldError::forbidden(path.clone(), "may only be specified when readOnly is true"));
    }
    if !matches!(text(&mount["mountPropagation"]), "" | "None") {
        let words = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(path.clone(), words));
    }
}

pub(super) fn devices(container: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    if items(&container["volumeDevices"]).is_empty() {
        return;
    }
    let (mount_names, mount_paths) = told(&container["volumeMounts"], "mountPath");
    let (mut names, mut places) = (Seen::new(), Seen::new());
    for (index, device) in items(&container["volumeDevices"]).iter().enumerate() {
        let path = path.index(index);
        let (name, place) = (text(&device["name"]), text(&device["devicePath"]));
        let (name_at, place_at) = (path.child("name"), path.child("devicePath"));
        check::required(&device["name"], &name_at, errors);
        if !name.is_empty() && !names.is_new(name) {
            errors.push(FieldError::invalid(name_at.clone(), name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(FieldError::not_found(name_at.clone(), name)),
            Some(volume) if volume["persistentVolumeClaim"].is_null() && volume["ephemeral"].is_null() => {
                let words =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(name_at.clone(), name, words));
            }
            Some(_) => {}
        }
        check::required(&device["devicePath"], &place_at, errors);
        if place.split('/').any(|part| part == "..") {
            let words = "can not contain backsteps ('..')";
            errors.push(FieldError::invalid(place_at.clone(), place, words));
        } else if !places.is_new(place) {
            errors.push(FieldError::invalid(place_at.clone(), place, "must be unique"));
        }
        if mount_names.contains(name) {
            let words = "must not already exist in volumeMounts";
            errors.push(FieldError::invalid(name_at, name, words));
        }
        if mount_paths.contains(place) {
            let words = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(place_at, place, words));
        }
    }
}
