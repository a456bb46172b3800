//! Environment variables and where they come from.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{int, items, text};
use crate::{check, names};

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
pub(super) const ENV_FIELDS: [&str; 9] = [
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
const ENV_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const TOO_MANY: &str = "may not have more than one field specified at a time";

pub(super) fn all(container: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, variable) in items(&container["env"]).iter().enumerate() {
        let path = path.child("env").index(index);
        check::named(&variable["name"], names::env_name, &path.child("name"), errors);
        if variable["valueFrom"].is_object() {
            value_from(variable, &path.child("valueFrom"), errors);
        }
    }
    for (index, source) in items(&container["envFrom"]).iter().enumerate() {
        from(source, &path.child("envFrom").index(index), errors);
    }
}

fn from(source: &Value, path: &Path, errors: &mut FieldErrors) {
    check::optional(&source["prefix"], names::env_name, &path.child("prefix"), errors);
    let mut given = 0;
    for field in ["configMapRef", "secretRef"].iter().filter(|field| source[**field].is_object()) {
        given += 1;
        check::named(&source[*field]["name"], names::subdomain, &path.child(field).child("name"), errors);
    }
    match given {
        0 => errors.push(FieldError::invalid(
            path.clone(),
            "",
            "must specify one of: `configMapRef` or `secretRef`",
        )),
        1 => {}
        _ => errors.push(FieldError::invalid(path.clone(), "", TOO_MANY)),
    }
}

fn value_from(variable: &Value, path: &Path, errors: &mut FieldErrors) {
    let source = &variable["valueFrom"];
    let given: Vec<&str> = SOURCES.iter().copied().filter(|field| source[*field].is_object()).collect();
    for field in &given {
        let (reference, path) = (&source[*field], path.child(field));
        match *field {
            "fieldRef" => field_ref(reference, &ENV_FIELDS, &path, errors),
            "resourceFieldRef" => resource_ref(reference, &ENV_RESOURCES, &path, errors),
            "fileKeyRef" => {
                for required in ["volumeName", "path", "key"] {
                    check::required(&reference[required], &path.child(required), errors);
                }
            }
            _ => {
                check::required(&reference["name"], &path.child("name"), errors);
                check::named(&reference["key"], names::config_key, &path.child("key"), errors);
            }
        }
    }
    if given.is_empty() {
        let words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(FieldError::invalid(path.clone(), "", words));
    } else if !text(&variable["value"]).is_empty() {
        errors.push(FieldError::invalid(path.clone(), "", "may not be specified when `value` is not empty"));
    } else if given.len() > 1 {
        errors.push(FieldError::invalid(path.clone(), "", TOO_MANY));
    }
}

/// A field of the pod itself, or one key of its labels or annotations.
pub(super) fn field_ref(reference: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    check::required(&reference["apiVersion"], &path.child("apiVersion"), errors);
    let at = path.child("fieldPath");
    if !check::required(&reference["fieldPath"], &at, errors) {
        return;
    }
    let field = text(&reference["fieldPath"]);
    match field.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) {
        Some(("metadata.labels" | "metadata.annotations", key)) => {
            let faults = names::qualified(&key.to_lowercase()).into_iter();
            errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), key, fault)));
        }
        Some((map, _)) => {
            errors.push(FieldError::invalid(at, map, "does not support subscript"));
        }
        None => check::one_of(&reference["fieldPath"], supported, &at, errors),
    }
}

pub(super) fn resource_ref(reference: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    let at = path.child("resource");
    let resource = text(&reference["resource"]);
    let pages = |r: &str| r.starts_with("requests.hugepages-") || r.starts_with("limits.hugepages-");
    if check::required(&reference["resource"], &at, errors) && !pages(resource) {
        check::one_of(&reference["resource"], supported, &at, errors);
    }
    if int(&reference["divisor"]) < 0 {
        errors.push(FieldError::invalid(
            path.child("divisor"),
            reference["divisor"].clone(),
            check::NOT_NEGATIVE,
        ));
    }
}

/// Fields and resources of items of a downward API volume.
pub(super) fn downward_item(item: &Value, path: &Path, errors: &mut FieldErrors) {
    const FIELDS: [&str; 5] =
        ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    if item["fieldRef"].is_object() {
        field_ref(&item["fieldRef"], &FIELDS, &path.child("fieldRef"), errors);
        if item["resourceFieldRef"].is_object() {
            let words = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(FieldError::invalid(path.clone(), "resource", words));
        }
    } else if item["resourceFieldRef"].is_object() {
        let reference = &item["resourceFieldRef"];
        let path = path.child("resourceFieldRef");
        check::required(&reference["containerName"], &path.child("containerName"), errors);
        resource_ref(reference, &ENV_RESOURCES, &path, errors);
    } else {
        errors.push(FieldError::required(
            path.child("fieldRef"),
            "one of fieldRef and resourceFieldRef is required",
        ));
    }
}
