//! Requests and limits.

use oarlock_api::quantity::Quantity;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{entries, items, quantity, text};
use crate::{check, names};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// What cannot be shared: the request is the limit.
fn is_whole(name: &str) -> bool {
    is_huge_pages(name) || name.contains('/') && !name.contains("kubernetes.io/")
}

/// The resources of a container or a pod.
pub(crate) fn requirements(resources: &Value, path: &Path, errors: &mut FieldErrors) {
    let (limits, requests) = (&resources["limits"], &resources["requests"]);
    list(limits, &path.child("limits"), errors);
    list(requests, &path.child("requests"), errors);
    let at = path.child("requests");
    for (name, request) in entries(requests) {
        let (Some(asked), limit) = (quantity(request), quantity(&limits[name])) else { continue };
        match limit {
            Some(limit) if is_whole(name) && limit != asked => {
                errors.push(FieldError::invalid(
                    at.clone(),
                    asked.to_string(),
                    format!("must be equal to {name} limit of {limit}"),
                ));
            }
            Some(limit) if asked > limit => {
                let words = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(at.clone(), asked.to_string(), words));
            }
            None if is_whole(name) => {
                let words = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(path.child("limits"), words));
            }
            _ => {}
        }
    }
    for (index, claim) in items(&resources["claims"]).iter().enumerate() {
        check::required(&claim["name"], &path.child("claims").index(index).child("name"), errors);
    }
}

/// Names and amounts.
pub(crate) fn list(list: &Value, path: &Path, errors: &mut FieldErrors) {
    for (name, value) in entries(list) {
        let path = path.key(name);
        resource_name(name, &path, errors);
        amount(name, value, &path, errors);
    }
}

fn resource_name(name: &str, path: &Path, errors: &mut FieldErrors) {
    check::syntax(name, names::qualified, path, errors);
    if !name.contains('/') && !STANDARD.contains(&name) && !is_huge_pages(name) {
        for words in [
            "must be a standard resource type or fully qualified",
            "must be a standard resource for containers",
        ] {
            errors.push(FieldError::invalid(path.clone(), name, words));
        }
    }
}

fn amount(name: &str, value: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(amount) = quantity(value) else {
        errors.push(FieldError::invalid(path.clone(), text(value), "must be a quantity"));
        return;
    };
    not_negative(amount, path, errors);
    if is_whole(name) && amount.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path.clone(), amount.to_string(), "must be an integer"));
    }
}

pub(crate) fn not_negative(amount: Quantity, path: &Path, errors: &mut FieldErrors) {
    if amount.is_negative() {
        errors.push(FieldError::invalid(path.clone(), amount.to_string(), check::NOT_NEGATIVE));
    }
}
