//! What claims, classes and slices share: names, lists of bounded length, configuration, taints and tolerations.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::podspec::sources::csi_driver;
use crate::value::{is_set, items, text};
use crate::{check, names};

const PARAMETERS_MAX: usize = 10 * 1024;
const CONDITIONS_MAX: usize = 4;
const IDENTIFIER_MAX: usize = 32;
const POOL_MAX: usize = 253;
const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
     alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
     '[A-Za-z_][A-Za-z0-9_]*')";

/// The items of a list that is not too long; of one that is, none are looked at.
pub(super) fn at_most<'v>(
    list: &'v Value,
    max: usize,
    path: &Path,
    errors: &mut FieldErrors,
) -> impl Iterator<Item = (Path, &'v Value)> {
    let list = items(list);
    if list.len() > max {
        errors.push(FieldError::too_many(path.clone(), list.len(), max));
    }
    let path = path.clone();
    let looked_at = if list.len() > max { &[] } else { list };
    looked_at.iter().enumerate().map(move |(index, item)| (path.index(index), item))
}

/// Every second item of the same key.
pub(super) fn unique<'v>(
    list: &'v Value,
    key: impl Fn(&'v Value) -> Value,
    path: &Path,
    errors: &mut FieldErrors,
) {
    let mut seen = std::collections::HashSet::new();
    for (index, item) in items(list).iter().enumerate() {
        let key = key(item);
        if !seen.insert(key.to_string()) {
            errors.push(FieldError::duplicate(path.index(index), key));
        }
    }
}

pub(super) fn named(item: &Value) -> Value {
    item["name"].clone()
}

pub(super) fn identifier(id: &str, path: &Path, errors: &mut FieldErrors) {
    if id.len() > IDENTIFIER_MAX {
        errors.push(FieldError::too_long(path.clone(), IDENTIFIER_MAX));
    }
    let first = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    let good = id.as_bytes().first().is_some_and(first)
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !good {
        errors.push(FieldError::invalid(path.clone(), id, IDENTIFIER));
    }
}

/// A name of an attribute or a capacity, perhaps with the domain that it belongs to.
pub(super) fn qualified(name: &str, path: &Path, errors: &mut FieldErrors) {
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(id, path, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(path.clone(), "", "the domain must not be empty"));
            } else {
                csi_driver(&domain.into(), path, errors);
            }
            if id.is_empty() {
                errors.push(FieldError::invalid(path.clone(), "", "the name must not be empty"));
            } else {
                identifier(id, path, errors);
            }
        }
        // Upstream takes such names unseen.
        _ => {}
    }
}

pub(super) fn fully_qualified(name: &str, path: &Path, errors: &mut FieldErrors) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let words = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
}

pub(super) fn pool_name(name: &Value, path: &Path, errors: &mut FieldErrors) {
    if !check::required(name, path, errors) {
        return;
    }
    if text(name).len() > POOL_MAX {
        errors.push(FieldError::too_long(path.clone(), POOL_MAX));
    }
    text(name).split('/').for_each(|part| check::syntax(part, names::subdomain, path, errors));
}

/// What a driver alone understands.
pub(super) fn configuration(config: &Value, path: &Path, errors: &mut FieldErrors) {
    let (opaque, at) = (&config["opaque"], path.child("opaque"));
    if !opaque.is_object() {
        return errors.push(FieldError::required(at, ""));
    }
    csi_driver(&opaque["driver"], &at.child("driver"), errors);
    parameters(&opaque["parameters"], &at.child("parameters"), errors);
}

pub(super) fn parameters(parameters: &Value, path: &Path, errors: &mut FieldErrors) {
    if parameters.is_null() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    if !parameters.is_object() {
        let words = "must be a valid JSON object";
        errors.push(FieldError::invalid(path.clone(), "<value omitted>", words));
    } else if parameters.to_string().len() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(path.clone(), PARAMETERS_MAX));
    }
}

pub(super) fn taint(taint: &Value, path: &Path, errors: &mut FieldErrors) {
    let key = text(&taint["key"]);
    check::syntax(key, names::qualified, &path.child("key"), errors);
    check::optional(&taint["value"], names::label_value, &path.child("value"), errors);
    let effects = ["NoExecute", "NoSchedule", "None"];
    check::must_be_one_of(&taint["effect"], &effects, &path.child("effect"), errors);
}

pub(super) fn toleration(toleration: &Value, path: &Path, errors: &mut FieldErrors) {
    check::optional(&toleration["key"], names::qualified, &path.child("key"), errors);
    let (value, value_at) = (&toleration["value"], path.child("value"));
    let at = path.child("operator");
    match text(&toleration["operator"]) {
        "Exists" => {
            if is_set(value) {
                let words = "must be empty for operator `Exists`";
                errors.push(FieldError::invalid(value_at, value.clone(), words));
            }
        }
        "Equal" => check::optional(value, names::label_value, &value_at, errors),
        "" => errors.push(FieldError::required(at.clone(), "")),
        other => errors.push(FieldError::not_supported(at.clone(), other, &["Equal", "Exists"])),
    }
    if !is_set(&toleration["key"]) && toleration["operator"] != "Exists" {
        let words = "must be `Exists` when `key` is empty";
        errors.push(FieldError::invalid(at, text(&toleration["operator"]), words));
    }
    let effects = ["NoExecute", "NoSchedule"];
    check::one_of(&toleration["effect"], &effects, &path.child("effect"), errors);
}

/// Conditions to wait for, and conditions to give up on: both or neither.
pub(super) fn binding(holder: &Value, path: &Path, errors: &mut FieldErrors) {
    let lists = ["bindingConditions", "bindingFailureConditions"];
    for (list, other) in [(lists[0], lists[1]), (lists[1], lists[0])] {
        let at = path.child(list);
        for (at, condition) in at_most(&holder[list], CONDITIONS_MAX, &at, errors).collect::<Vec<_>>() {
            check::syntax(text(condition), names::qualified, &at, errors);
        }
        if is_set(&holder[list]) && !is_set(&holder[other]) {
            let words = format!("{other} are required to use {list}");
            errors.push(FieldError::invalid(at, holder[list].clone(), words));
        }
    }
}
