//! Validation of classes of storage. (`pkg/apis/storage/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::podspec::{sources, warnings};
use crate::strategy::Context;
use crate::value::{entries, items, quantity, text};
use crate::{check, names, podspec};

const MODES: [&str; 2] = ["Immediate", "WaitForFirstConsumer"];
const POLICIES: [&str; 2] = ["Delete", "Retain"];
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    let at = Path::new("provisioner");
    if check::required(&class["provisioner"], &at, errors) {
        let given = text(&class["provisioner"]);
        let faults = names::qualified(&given.to_lowercase()).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), given, fault)));
    }
    parameters(&class["parameters"], true, errors);
    check::one_of(&class["reclaimPolicy"], &POLICIES, &Path::new("reclaimPolicy"), errors);
    check::must_be_one_of(&class["volumeBindingMode"], &MODES, &Path::new("volumeBindingMode"), errors);
    topologies(&class["allowedTopologies"], &Path::new("allowedTopologies"), errors);
}

fn parameters(parameters: &Value, may_be_empty: bool, errors: &mut FieldErrors) {
    let at = Path::new("parameters");
    let (mut count, mut bytes) = (0, 0);
    for (key, value) in entries(parameters) {
        if key.is_empty() {
            errors.push(FieldError::invalid(at.clone(), key, "field can not be empty."));
        }
        count += 1;
        bytes += key.len() + text(value).len();
    }
    if count > PARAMETERS_MAX {
        errors.push(FieldError::too_long(at.clone(), PARAMETERS_MAX));
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(at.clone(), PARAMETERS_BYTES_MAX));
    }
    if count == 0 && !may_be_empty {
        errors.push(FieldError::required(at, "must contain at least one key/value pair"));
    }
}

fn topologies(terms: &Value, path: &Path, errors: &mut FieldErrors) {
    let terms = items(terms);
    for index in check::repeats(terms, |term| [term]) {
        errors.push(FieldError::duplicate(path.index(index).child("matchLabelExpressions"), ""));
    }
    for (index, term) in terms.iter().enumerate() {
        let at = path.index(index).child("matchLabelExpressions");
        let mut keys = Seen::new();
        for (index, requirement) in items(&term["matchLabelExpressions"]).iter().enumerate() {
            let at = at.index(index);
            let (values, values_at) = (items(&requirement["values"]), at.child("values"));
            if values.is_empty() {
                errors.push(FieldError::required(values_at.clone(), ""));
            }
            let mut seen = Seen::new();
            for (index, value) in values.iter().enumerate() {
                seen.add(text(value), &values_at.index(index), errors);
            }
            check::syntax(text(&requirement["key"]), names::qualified, &at.child("key"), errors);
            keys.add(text(&requirement["key"]), &at.child("key"), errors);
        }
    }
}

pub(super) fn class_warnings(class: &Value, _old: Option<&Value>, told: &mut Vec<String>) {
    for (index, term) in items(&class["allowedTopologies"]).iter().enumerate() {
        let path = Path::new("allowedTopologies").index(index).child("matchLabelExpressions");
        for (index, requirement) in items(&term["matchLabelExpressions"]).iter().enumerate() {
            if let Some(words) = warnings::deprecated_label(text(&requirement["key"])) {
                told.push(format!("{}: {words}", path.index(index).child("key")));
            }
        }
    }
}

fn forbid_changes(fields: &[&str], new: &Value, old: &Value, errors: &mut FieldErrors) {
    for field in fields.iter().filter(|field| new[**field] != old[**field]) {
        errors.push(FieldError::forbidden(Path::new(field), format!("updates to {field} are forbidden.")));
    }
}

pub(super) fn class_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    forbid_changes(&["parameters", "provisioner", "reclaimPolicy"], new, old, errors);
    let path = Path::new("volumeBindingMode");
    check::immutable(&new["volumeBindingMode"], &old["volumeBindingMode"], &path, errors);
}

pub(super) fn attributes_class(class: &Value, errors: &mut FieldErrors) {
    sources::csi_driver(&class["driverName"], &Path::new("driverName"), errors);
    parameters(&class["parameters"], false, errors);
}

pub(super) fn attributes_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    forbid_changes(&["driverName", "parameters"], new, old, errors);
}

/// How much a class has left in a part of the cluster.
pub(super) fn capacity(capacity: &Value, errors: &mut FieldErrors) {
    check::selector(&capacity["nodeTopology"], &Path::new("nodeTopology"), errors);
    let class = text(&capacity["storageClassName"]);
    check::syntax(class, names::subdomain, &Path::new("storageClassName"), errors);
    for field in ["capacity", "maximumVolumeSize"] {
        if let Some(amount) = quantity(&capacity[field]) {
            podspec::not_negative(amount, &Path::new(field), errors);
        }
    }
}

pub(super) fn capacity_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    for field in ["nodeTopology", "storageClassName"] {
        check::immutable(&new[field], &old[field], &Path::new(field), errors);
    }
}
