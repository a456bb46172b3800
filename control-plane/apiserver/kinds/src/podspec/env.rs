//! Environment variables and where they come from.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::Volumes;
use crate::value::{is_set, items, quantity, text};
use crate::{check, names};

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Fields of a pod that have a name at all.
const POD_FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const TOO_MANY: &str = "may not have more than one field specified at a time";

pub(super) fn all(container: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    for (index, variable) in items(&container["env"]).iter().enumerate() {
        let path = path.child("env").index(index);
        check::named(&variable["name"], names::env_name, &path.child("name"), errors);
        if variable["valueFrom"].is_object() {
            value_from(variable, volumes, &path.child("valueFrom"), errors);
        }
    }
    for (index, source) in items(&container["envFrom"]).iter().enumerate() {
        from(source, &path.child("envFrom"), &path.child("envFrom").index(index), errors);
    }
}

/// How many sources there are is told of the list.
fn from(source: &Value, list: &Path, path: &Path, errors: &mut FieldErrors) {
    check::optional(&source["prefix"], names::env_name, &path.child("prefix"), errors);
    let mut given = 0;
    for field in ["configMapRef", "secretRef"].iter().filter(|field| source[**field].is_object()) {
        given += 1;
        check::named(&source[*field]["name"], names::subdomain, &path.child(field).child("name"), errors);
    }
    match given {
        0 => {
            let words = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(FieldError::invalid(list.clone(), "", words));
        }
        1 => {}
        _ => errors.push(FieldError::invalid(list.clone(), "", TOO_MANY)),
    }
}

fn value_from(variable: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    let source = &variable["valueFrom"];
    let given = || SOURCES.iter().copied().filter(|field| source[*field].is_object());
    for field in given() {
        let (reference, path) = (&source[field], path.child(field));
        match field {
            "fieldRef" => field_ref(reference, &ENV_FIELDS, &path, errors),
            "resourceFieldRef" => resource_ref(reference, &path, errors),
            "fileKeyRef" => file_key(reference, volumes, &path, errors),
            _ => {
                check::syntax(text(&reference["name"]), names::subdomain, &path.child("name"), errors);
                check::named(&reference["key"], names::config_key, &path.child("key"), errors);
            }
        }
    }
    match given().count() {
        0 => {
            let words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.push(FieldError::invalid(path.clone(), "", words));
        }
        _ if !text(&variable["value"]).is_empty() => {
            let words = "may not be specified when `value` is not empty";
            errors.push(FieldError::invalid(path.clone(), "", words));
        }
        1 => {}
        _ => errors.push(FieldError::invalid(path.clone(), "", TOO_MANY)),
    }
}

/// A key of a file in an emptyDir of the pod. (KEP-3721)
fn file_key(reference: &Value, volumes: &Volumes<'_>, path: &Path, errors: &mut FieldErrors) {
    check::named(&reference["key"], names::env_name, &path.child("key"), errors);
    let (name, at) = (text(&reference["volumeName"]), path.child("volumeName"));
    if check::required(&reference["volumeName"], &at, errors) {
        match volumes.get(name) {
            None => errors.push(FieldError::not_found(at, name)),
            Some(volume) if volume["emptyDir"].is_null() => {
                errors.push(FieldError::invalid(at, name, "referenced volume must be of type emptyDir"));
            }
            Some(_) => {}
        }
    }
    if check::required(&reference["path"], &path.child("path"), errors) {
        super::volume::unreserved_path(text(&reference["path"]), &path.child("path"), errors);
    }
}

/// A field of the pod itself, or one key of its labels or annotations.
fn field_ref(reference: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if !check::required(&reference["apiVersion"], &path.child("apiVersion"), errors) {
        return;
    }
    let at = path.child("fieldPath");
    if !check::required(&reference["fieldPath"], &at, errors) {
        return;
    }
    let field = text(&reference["fieldPath"]);
    match field.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) {
        Some(("metadata.labels", key)) => check::syntax(key, names::qualified, path, errors),
        Some(("metadata.annotations", key)) => {
            check::syntax(&key.to_lowercase(), names::qualified, path, errors);
        }
        Some((map, _)) if POD_FIELDS.contains(&map) => {
            errors.push(FieldError::invalid(path.clone(), map, "does not support subscript"));
        }
        None if POD_FIELDS.contains(&field) => check::one_of(&reference["fieldPath"], supported, &at, errors),
        _ => {
            let words = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(FieldError::invalid(at, field, words));
        }
    }
}

fn resource_ref(reference: &Value, path: &Path, errors: &mut FieldErrors) {
    let (at, resource) = (path.child("resource"), text(&reference["resource"]));
    let pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if check::required(&reference["resource"], &at, errors) && !pages {
        check::one_of(&reference["resource"], &RESOURCES, &at, errors);
    }
    let Some(divisor) = quantity(&reference["divisor"]).filter(|divisor| !divisor.is_zero()) else { return };
    let kind = resource.split_once('.').map_or(resource, |(_, kind)| kind);
    let (supported, told): (&[&str], _) = match kind {
        "cpu" => (&["1", "1m"], "cpu"),
        "memory" => (&BYTE_DIVISORS, "memory"),
        "ephemeral-storage" => (&BYTE_DIVISORS, "local ephemeral storage"),
        _ if pages => (&BYTE_DIVISORS, "hugepages"),
        _ => return,
    };
    if !supported.contains(&divisor.to_string().as_str()) {
        let values = if kind == "cpu" { "1m and 1".to_string() } else { supported.join(", ") };
        let words = format!("only divisor's values {values} are supported with the {told} resource");
        errors.push(FieldError::invalid(path.child("divisor"), resource, words));
    }
}

/// Fields and resources of items of a downward API volume.
pub(super) fn downward_item(item: &Value, path: &Path, errors: &mut FieldErrors) {
    if item["fieldRef"].is_object() {
        field_ref(&item["fieldRef"], &VOLUME_FIELDS, &path.child("fieldRef"), errors);
        if item["resourceFieldRef"].is_object() {
            let words = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(FieldError::invalid(path.clone(), "resource", words));
        }
    } else if item["resourceFieldRef"].is_object() {
        let (reference, path) = (&item["resourceFieldRef"], path.child("resourceFieldRef"));
        if !is_set(&reference["containerName"]) {
            return errors.push(FieldError::required(path.child("containerName"), ""));
        }
        resource_ref(reference, &path, errors);
    } else {
        errors.push(FieldError::required(path.clone(), "one of fieldRef and resourceFieldRef is required"));
    }
}
