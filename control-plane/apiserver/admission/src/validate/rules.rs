//! Rules: operations, groups, versions, resources, scope; and the resources that policies mean.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::check::{Seen, given_one_of, invalid_each, must_be_one_of, one_of, path_segment_faults, selector};
use crate::value::{items, text};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];

fn has_wildcard(list: &[Value]) -> bool {
    list.iter().any(|item| item == "*")
}

/// A wildcard stands alone.
fn alone(rule: &Value, field: &str, what: &str, path: &Path, errors: &mut FieldErrors) {
    let list = items(rule, &[field]);
    if list.is_empty() {
        errors.push(FieldError::required(path.child(field), ""));
    }
    if list.len() > 1 && has_wildcard(list) {
        let words = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path.child(field), list.to_vec(), words));
    }
}

/// A `RuleWithOperations`.
pub(super) fn rule(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    alone(rule, "operations", "operations", path, errors);
    for (index, operation) in items(rule, &["operations"]).iter().enumerate() {
        one_of(operation, OPERATIONS, &path.child("operations").index(index), errors);
    }
    alone(rule, "apiGroups", "API groups", path, errors);
    alone(rule, "apiVersions", "API versions", path, errors);
    for (index, version) in items(rule, &["apiVersions"]).iter().enumerate() {
        if version == "" {
            errors.push(FieldError::required(path.child("apiVersions").index(index), ""));
        }
    }
    resources(items(rule, &["resources"]), &path.child("resources"), errors);
    one_of(&rule["scope"], SCOPES, &path.child("scope"), errors);
}

fn resources(list: &[Value], path: &Path, errors: &mut FieldErrors) {
    if list.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    }
    let (mut all_subresources, mut all_resources) = (HashSet::new(), HashSet::new());
    let mut plain = false;
    for (index, both) in list.iter().filter_map(Value::as_str).enumerate() {
        if both.is_empty() {
            errors.push(FieldError::required(path.index(index), ""));
            continue;
        }
        let Some((resource, subresource)) = both.split_once('/') else {
            plain = both != "*";
            continue;
        };
        let mut taken = |what: String| {
            let words = format!("if '{what}' is present, must not specify {both}");
            errors.push(FieldError::invalid(path.index(index), both, words));
        };
        if all_subresources.contains(resource) {
            taken(format!("{resource}/*"));
        }
        if all_resources.contains(subresource) {
            taken(format!("*/{subresource}"));
        }
        if subresource == "*" {
            all_subresources.insert(resource);
        }
        if resource == "*" {
            all_resources.insert(subresource);
        }
    }
    if list.len() > 1 && list.iter().any(|item| item == "*/*") {
        let words = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path.clone(), list.to_vec(), words));
    }
    if has_wildcard(list) && plain {
        let words = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path.clone(), list.to_vec(), words));
    }
}

/// The `MatchResources` of a policy or binding. `operations`: the only ones of which there may be rules.
pub(super) fn match_resources(
    value: &Value,
    operations: Option<&[&str]>,
    path: &Path,
    errors: &mut FieldErrors,
) {
    given_one_of(&value["matchPolicy"], MATCH_POLICIES, &path.child("matchPolicy"), errors);
    for field in ["namespaceSelector", "objectSelector"] {
        if value[field].is_null() {
            errors.push(FieldError::required(path.child(field), ""));
        } else {
            selector(&value[field], false, &path.child(field), errors);
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, named) in items(value, &[field]).iter().enumerate() {
            named_rule(named, &path.child(field).index(index), errors);
        }
    }
    for named in items(value, &["resourceRules"]) {
        for operation in items(named, &["operations"]) {
            if let Some(supported) = operations {
                one_of(operation, supported, &path.child("resourceRules").child("operations"), errors);
            }
        }
    }
}

fn named_rule(named: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::default();
    for (index, name) in items(named, &["resourceNames"]).iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("resourceNames").index(index);
        invalid_each(name, path_segment_faults(name), &at, errors);
        seen.add(name, &at, errors);
    }
    rule(named, path, errors);
}

/// The `matchConstraints` of a policy, which must name what it is for.
pub(super) fn match_constraints(
    value: &Value,
    operations: Option<&[&str]>,
    path: &Path,
    errors: &mut FieldErrors,
) {
    if value.is_null() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    match_resources(value, operations, path, errors);
    if items(value, &["resourceRules"]).is_empty() {
        errors.push(FieldError::required(path.child("resourceRules"), ""));
    }
}

/// A `paramRef`.
pub(super) fn param_ref(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if value.is_null() {
        return;
    }
    let (name, chosen) = (text(value, &["name"]), !value["selector"].is_null());
    let exclusive = "name and selector are mutually exclusive";
    if !name.is_empty() {
        invalid_each(name, path_segment_faults(name), &path.child("name"), errors);
        if chosen {
            errors.push(FieldError::forbidden(path.child("name"), exclusive));
        }
    }
    if chosen {
        selector(&value["selector"], false, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.push(FieldError::forbidden(path.child("selector"), exclusive));
        }
    }
    if name.is_empty() && !chosen {
        errors.push(FieldError::required(path.clone(), "one of name or selector must be specified"));
    }
    let action = path.child("parameterNotFoundAction");
    must_be_one_of(&value["parameterNotFoundAction"], &["Deny", "Allow"], &action, errors);
}
