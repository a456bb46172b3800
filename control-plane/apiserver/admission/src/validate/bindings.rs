//! The bindings of both kinds of policy.

use oarlock_api::selector::dns1123_subdomain_faults;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::check::{Seen, invalid_each, one_of};
use super::mutations::OPERATIONS;
use super::rules::{match_resources, param_ref};
use crate::value::{items, text};

const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_validating_admission_policy_binding(new: &Value, _old: Option<&Value>) -> FieldErrors {
    let (spec, path, mut errors) = (&new["spec"], Path::new("spec"), FieldErrors::new());
    policy_and_params(spec, &path, &mut errors);
    if !spec["matchResources"].is_null() {
        match_resources(&spec["matchResources"], None, &path.child("matchResources"), &mut errors);
    }
    actions(items(spec, &["validationActions"]), &path.child("validationActions"), &mut errors);
    errors
}

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_mutating_admission_policy_binding(new: &Value, _old: Option<&Value>) -> FieldErrors {
    let (spec, path, mut errors) = (&new["spec"], Path::new("spec"), FieldErrors::new());
    policy_and_params(spec, &path, &mut errors);
    if !spec["matchResources"].is_null() {
        let at = path.child("matchResources");
        match_resources(&spec["matchResources"], Some(OPERATIONS), &at, &mut errors);
    }
    errors
}

fn policy_and_params(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (policy, at) = (text(spec, &["policyName"]), path.child("policyName"));
    if policy.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else {
        invalid_each(policy, dns1123_subdomain_faults(policy), &at, errors);
    }
    param_ref(&spec["paramRef"], &path.child("paramRef"), errors);
}

fn actions(list: &[Value], path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::default();
    for (index, action) in list.iter().enumerate() {
        one_of(action, ACTIONS, &path.index(index), errors);
        seen.add(action.as_str().unwrap_or_default(), &path.index(index), errors);
    }
    if seen.has("Deny") && seen.has("Warn") {
        let words = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                     response and headers serves no purpose)";
        errors.push(FieldError::invalid(path.clone(), list.to_vec(), words));
    }
    if list.is_empty() {
        errors.push(FieldError::required(path.clone(), "at least one validation action is required"));
    }
}
