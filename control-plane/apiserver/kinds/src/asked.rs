//! Objects that are asked or done and never stored: reviews, bindings, requests for tokens. They have no strategy; who
//! answers them calls [`faults`] first.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check;
use crate::value::{entries, int, is_set, items, text};

const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// What of the metadata says nothing.
const SILENT: [&str; 2] = ["managedFields", "creationTimestamp"];

/// What is wrong with an object of a kind that is asked; of another kind nothing.
pub fn faults(kind: &str, object: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    match kind {
        "SubjectAccessReview" => {
            access(&object["spec"], true, &mut errors);
            bare(object, &SILENT, "must be empty", &mut errors);
        }
        "SelfSubjectAccessReview" => {
            access(&object["spec"], false, &mut errors);
            bare(object, &SILENT, "must be empty", &mut errors);
        }
        "LocalSubjectAccessReview" => local(object, &mut errors),
        "TokenRequest" => token(&object["spec"], &mut errors),
        "Binding" => binding(&object["target"], &mut errors),
        _ => {}
    }
    errors
}

fn bare(object: &Value, silent: &[&str], words: &str, errors: &mut FieldErrors) {
    let meta = &object["metadata"];
    if entries(meta).any(|(field, value)| !silent.contains(&field) && is_set(value)) {
        errors.push(FieldError::invalid(Path::new("metadata"), meta.clone(), words));
    }
}

/// `named`: it says about whom it asks.
fn access(spec: &Value, named: bool, errors: &mut FieldErrors) {
    let path = Path::new("spec");
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), other.is_object()) {
        (true, true) => {
            let words = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(path.child("nonResourceAttributes"), other.clone(), words));
        }
        (false, false) => {
            let words = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(path.child("resourceAttributes"), Value::Null, words));
        }
        _ => {}
    }
    if named && !is_set(&spec["user"]) && !is_set(&spec["groups"]) {
        let words = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(path.child("user"), "", words));
    }
    for field in ["fieldSelector", "labelSelector"].iter().filter(|field| resource[**field].is_object()) {
        selector(&resource[*field], &path.child("resourceAttributes").child(field), errors);
    }
}

/// A selector is told as text or as requirements.
fn selector(selector: &Value, path: &Path, errors: &mut FieldErrors) {
    let (raw, requirements) = (&selector["rawSelector"], items(&selector["requirements"]));
    match (is_set(raw), requirements.is_empty()) {
        (true, false) => {
            let words = "may not specified at the same time as requirements";
            errors.push(FieldError::invalid(path.child("rawSelector"), raw.clone(), words));
        }
        (false, true) => {
            let words = format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(FieldError::required(path.child("requirements"), words));
        }
        _ => {}
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let at = path.child("requirements").index(index);
        check::required(&requirement["key"], &at.child("key"), errors);
        let (values, values_at) = (&requirement["values"], at.child("values"));
        match text(&requirement["operator"]) {
            "In" | "NotIn" if !is_set(values) => {
                let words = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(values_at, words));
            }
            "Exists" | "DoesNotExist" if is_set(values) => {
                let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(values_at, words));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let words = "not a valid selector operator";
                errors.push(FieldError::invalid(at.child("operator"), other, words));
            }
        }
    }
}

fn local(review: &Value, errors: &mut FieldErrors) {
    let spec = &review["spec"];
    access(spec, true, errors);
    bare(
        review,
        &["managedFields", "creationTimestamp", "namespace"],
        "must be empty except for namespace",
        errors,
    );
    let (asked, own) = (&spec["resourceAttributes"]["namespace"], &review["metadata"]["namespace"]);
    if spec["resourceAttributes"].is_object() && text(asked) != text(own) {
        let at = Path::new("spec.resourceAttributes.namespace");
        errors.push(FieldError::invalid(at, text(asked), "must match metadata.namespace"));
    }
    if spec["nonResourceAttributes"].is_object() {
        let (at, told) = (Path::new("spec.nonResourceAttributes"), spec["nonResourceAttributes"].clone());
        errors.push(FieldError::invalid(at, told, "disallowed on this kind of request"));
    }
}

fn token(spec: &Value, errors: &mut FieldErrors) {
    let (seconds, at) = (int(&spec["expirationSeconds"]), Path::new("spec").child("expirationSeconds"));
    if seconds < TOKEN_SECONDS_MIN {
        let words = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(at, seconds, words));
    } else if seconds > TOKEN_SECONDS_MAX {
        let words = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(at, seconds, words));
    }
}

fn binding(target: &Value, errors: &mut FieldErrors) {
    let path = Path::new("target");
    let kind = text(&target["kind"]);
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(path.child("kind"), kind, &["Node", "<empty>"]));
    }
    check::required(&target["name"], &path.child("name"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_asks_is_told_what_is_wrong() {
        let pods = json!({"verb": "get", "resource": "pods", "namespace": "n"});
        let cases: [(&str, Value, &[&str]); 9] = [
            ("SubjectAccessReview", json!({"spec": {"user": "u", "resourceAttributes": pods}}), &[]),
            (
                "SubjectAccessReview",
                json!({"metadata": {"name": "x"}, "spec": {}}),
                &[
                    "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
                    "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                    "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
                ],
            ),
            (
                "SelfSubjectAccessReview",
                json!({"metadata": {"creationTimestamp": null}, "spec": {"nonResourceAttributes": {"path": "/"}}}),
                &[],
            ),
            (
                "SelfSubjectAccessReview",
                json!({"spec": {"resourceAttributes": {"labelSelector": {}, "fieldSelector": {"requirements": [{"key": "a", "operator": "In"}]}}}}),
                &[
                    "spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                    "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
                ],
            ),
            (
                "LocalSubjectAccessReview",
                json!({"metadata": {"namespace": "m"}, "spec": {"user": "u", "resourceAttributes": pods}}),
                &["spec.resourceAttributes.namespace: Invalid value: \"n\": must match metadata.namespace"],
            ),
            (
                "TokenRequest",
                json!({"spec": {"expirationSeconds": 1}}),
                &[
                    "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                ],
            ),
            ("TokenRequest", json!({"spec": {"expirationSeconds": 3600}}), &[]),
            (
                "Binding",
                json!({"target": {"kind": "Pod"}}),
                &[
                    "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
                    "target.name: Required value",
                ],
            ),
            ("Pod", json!({}), &[]),
        ];
        for (kind, object, want) in cases {
            assert_eq!(check::told(&faults(kind, &object)), want, "{kind} {object}");
        }
    }
}
