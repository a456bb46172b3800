//! Validation of roles and bindings. (`pkg/apis/rbac/validation`)

use oarlock_api::selector::LabelSelector;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{items, text};
use crate::{check, names};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A cluster role has no namespace and may speak of URLs.
pub(super) fn role(role: &Value, errors: &mut FieldErrors) {
    let of_cluster = role["kind"] == "ClusterRole" || role["metadata"]["namespace"].is_null();
    for (index, rule) in items(&role["rules"]).iter().enumerate() {
        rule_of(rule, of_cluster, &Path::new("rules").index(index), errors);
    }
    let at = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = &role["aggregationRule"]["clusterRoleSelectors"];
    if role["aggregationRule"].is_object() && items(selectors).is_empty() {
        errors.push(FieldError::required(
            at.clone(),
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ));
    }
    for (index, selector) in items(selectors).iter().enumerate() {
        check::selector(selector, &at.index(index), errors);
        if LabelSelector::from_value(selector).is_err() {
            errors.push(FieldError::invalid(at.index(index), Value::Null, "invalid label selector."));
        }
    }
}

fn rule_of(rule: &Value, of_cluster: bool, path: &Path, errors: &mut FieldErrors) {
    let given = |field: &str| !items(&rule[field]).is_empty();
    if !given("verbs") {
        errors.push(FieldError::required(path.child("verbs"), "verbs must contain at least one value"));
    }
    if given("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        if !of_cluster {
            let words = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(at.clone(), rule["nonResourceURLs"].clone(), words));
        }
        if given("apiGroups") || given("resources") || given("resourceNames") {
            let words = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(at, rule["nonResourceURLs"].clone(), words));
        }
        return;
    }
    if !given("apiGroups") {
        errors.push(FieldError::required(
            path.child("apiGroups"),
            "resource rules must supply at least one api group",
        ));
    }
    if !given("resources") {
        errors.push(FieldError::required(
            path.child("resources"),
            "resource rules must supply at least one resource",
        ));
    }
}

pub(super) fn binding(binding: &Value, errors: &mut FieldErrors) {
    let (role, at) = (&binding["roleRef"], Path::new("roleRef"));
    let of_cluster = binding["kind"] == "ClusterRoleBinding" || binding["metadata"]["namespace"].is_null();
    if role["apiGroup"] != GROUP {
        errors.push(FieldError::not_supported(at.child("apiGroup"), text(&role["apiGroup"]), &[GROUP]));
    }
    let kinds: &[&str] = if of_cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    if !kinds.contains(&text(&role["kind"])) {
        errors.push(FieldError::not_supported(at.child("kind"), text(&role["kind"]), kinds));
    }
    check::named(&role["name"], names::path_segment, &at.child("name"), errors);
    for (index, given) in items(&binding["subjects"]).iter().enumerate() {
        subject(given, of_cluster, &Path::new("subjects").index(index), errors);
    }
}

fn subject(subject: &Value, of_cluster: bool, path: &Path, errors: &mut FieldErrors) {
    check::required(&subject["name"], &path.child("name"), errors);
    let group = text(&subject["apiGroup"]);
    match text(&subject["kind"]) {
        "ServiceAccount" => {
            check::optional(&subject["name"], names::subdomain, &path.child("name"), errors);
            if !group.is_empty() {
                errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[""]));
            }
            if of_cluster {
                check::required(&subject["namespace"], &path.child("namespace"), errors);
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => {
            let supported = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(path.child("kind"), other, &supported));
        }
    }
}

pub(super) fn binding_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if new["roleRef"] != old["roleRef"] {
        errors.push(FieldError::invalid(
            Path::new("roleRef"),
            new["roleRef"].clone(),
            "cannot change roleRef",
        ));
    }
}
