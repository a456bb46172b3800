//! Affinity to nodes and to other pods.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::scheduling;
use crate::value::{int, items, text};
use crate::{check, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(affinity: &Value, path: &Path, errors: &mut FieldErrors) {
    let (node, at) = (&affinity["nodeAffinity"], path.child("nodeAffinity"));
    if node[REQUIRED].is_object() {
        node_selector(&node[REQUIRED], &at.child(REQUIRED), errors);
    }
    for (index, preferred) in items(&node[PREFERRED]).iter().enumerate() {
        let at = at.child(PREFERRED).index(index);
        weight(preferred, &at, errors);
        node_term(&preferred["preference"], &at.child("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (&affinity[kind], path.child(kind));
        for (index, term) in items(&pods[REQUIRED]).iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(index), errors);
        }
        for (index, preferred) in items(&pods[PREFERRED]).iter().enumerate() {
            let at = at.child(PREFERRED).index(index);
            weight(preferred, &at, errors);
            pod_term(&preferred["podAffinityTerm"], &at.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(preferred: &Value, path: &Path, errors: &mut FieldErrors) {
    let weight = int(&preferred["weight"]);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(path.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// Terms of which one must match.
pub(crate) fn node_selector(selector: &Value, path: &Path, errors: &mut FieldErrors) {
    let (terms, path) = (items(&selector["nodeSelectorTerms"]), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        return errors.push(FieldError::required(path, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, &path.index(index), errors);
        label_values(term, &path.index(index), errors);
    }
}

/// Of a preference, which may go unheeded, upstream only warns.
fn label_values(term: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, requirement) in items(&term["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(index).child("values");
        for (index, value) in items(&requirement["values"]).iter().enumerate() {
            check::syntax(text(value), names::label_value, &at.index(index), errors);
        }
    }
}

pub(crate) fn node_term(term: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, requirement) in items(&term["matchExpressions"]).iter().enumerate() {
        node_requirement(requirement, &path.child("matchExpressions").index(index), errors);
    }
    for (index, requirement) in items(&term["matchFields"]).iter().enumerate() {
        let at = path.child("matchFields").index(index);
        let (operator, key) = (text(&requirement["operator"]), text(&requirement["key"]));
        if !matches!(operator, "In" | "NotIn") {
            errors.push(FieldError::invalid(at.child("operator"), operator, "not a valid selector operator"));
        } else if items(&requirement["values"]).len() != 1 {
            let words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(at.child("values"), words));
        }
        if key != "metadata.name" {
            errors.push(FieldError::invalid(at.child("key"), key, "not a valid field selector key"));
            continue;
        }
        for (index, name) in items(&requirement["values"]).iter().enumerate() {
            check::syntax(text(name), names::subdomain, &at.child("values").index(index), errors);
        }
    }
}

fn node_requirement(requirement: &Value, path: &Path, errors: &mut FieldErrors) {
    let values = items(&requirement["values"]).len();
    let at = path.child("values");
    match text(&requirement["operator"]) {
        "In" | "NotIn" if values == 0 => {
            errors.push(FieldError::required(at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if values > 0 => {
            errors.push(FieldError::forbidden(
                at,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ));
        }
        "Gt" | "Lt" if values != 1 => {
            errors.push(FieldError::required(
                at,
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            ));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator"))
        }
    }
    check::syntax(text(&requirement["key"]), names::qualified, &path.child("key"), errors);
}

fn pod_term(term: &Value, path: &Path, errors: &mut FieldErrors) {
    check::selector(&term["labelSelector"], &path.child("labelSelector"), errors);
    check::selector(&term["namespaceSelector"], &path.child("namespaceSelector"), errors);
    for namespace in items(&term["namespaces"]) {
        check::syntax(text(namespace), names::dns_label, &path.child("namespace"), errors);
    }
    let (keys, others) = (items(&term["matchLabelKeys"]), items(&term["mismatchLabelKeys"]));
    scheduling::label_keys(term, "matchLabelKeys", path, errors);
    scheduling::label_keys(term, "mismatchLabelKeys", path, errors);
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| others.contains(key)) {
        let words = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(FieldError::invalid(path.child("matchLabelKeys").index(index), key.clone(), words));
    }
    scheduling::topology_key(text(&term["topologyKey"]), &path.child("topologyKey"), errors);
}
