//! Validation of classes of storage. (`pkg/apis/storage/validation`)

use std::collections::{BTreeMap, BTreeSet};

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::podspec::warnings;
use crate::strategy::Context;
use crate::value::{entries, items, quantity, text};
use crate::{check, names, podspec};

const MODES: [&str; 2] = ["Immediate", "WaitForFirstConsumer"];
const POLICIES: [&str; 2] = ["Delete", "Retain"];
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    provisioner(&class["provisioner"], &Path::new("provisioner"), errors);
    parameters(&class["parameters"], true, errors);
    check::one_of(&class["reclaimPolicy"], &POLICIES, &Path::new("reclaimPolicy"), errors);
    check::given_one_of(&class["volumeBindingMode"], &MODES, &Path::new("volumeBindingMode"), errors);
    topologies(&class["allowedTopologies"], &Path::new("allowedTopologies"), errors);
}

/// Who makes volumes of a class, in small letters.
fn provisioner(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if check::required(value, path, errors) {
        check::syntax(&text(value).to_lowercase(), names::qualified, path, errors);
    }
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

/// The values that a term takes of each label.
type Chosen<'v> = BTreeMap<&'v str, BTreeSet<&'v str>>;

fn chosen(term: &Value) -> Chosen<'_> {
    let requirements = items(&term["matchLabelExpressions"]).iter();
    requirements.map(|of| (text(&of["key"]), items(&of["values"]).iter().map(text).collect())).collect()
}

fn topologies(terms: &Value, path: &Path, errors: &mut FieldErrors) {
    let terms = items(terms);
    let mut before: Vec<Chosen<'_>> = Vec::new();
    for (index, term) in terms.iter().enumerate() {
        let at = path.index(index).child("matchLabelExpressions");
        let chosen = chosen(term);
        // An empty term is taken for as many others as there are terms.
        let empty = if chosen.is_empty() { terms.len() } else { 0 };
        let again = empty + before.iter().filter(|other| **other == chosen).count();
        errors.extend((0..again).map(|_| FieldError::duplicate(at.clone(), "")));
        before.push(chosen);
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
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        check::immutable(&new[field], &old[field], &Path::new(field), errors);
    }
}

pub(super) fn attributes_class(class: &Value, errors: &mut FieldErrors) {
    provisioner(&class["driverName"], &Path::new("driverName"), errors);
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
