//! ResourceQuotas. (`ValidateResourceQuota`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{entries, is_set, items, quantity, text, texts};
use crate::{check, podspec};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes that a thing is in or not: there are no values to compare.
const PLAIN_SCOPES: [&str; 5] =
    ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"];
const CONFLICTS: [(&str, &str); 2] = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
const OF_PODS: [&str; 7] =
    ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const PLAIN_WORDS: &str = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

pub(super) fn validate(quota: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&quota["spec"], Path::new("spec"));
    amounts(&spec["hard"], &path.child("hard"), errors);
    scopes(spec, &path.child("scopes"), errors);
    selector(spec, &path.child("scopeSelector").child("matchExpressions"), errors);
}

fn amounts(list: &Value, path: &Path, errors: &mut FieldErrors) {
    for (name, value) in entries(list) {
        let at = path.key(name);
        podspec::of_quota(name, &at, errors);
        let Some(amount) = quantity(value) else { continue };
        podspec::not_negative(amount, &at, errors);
        let whole = podspec::is_extended(name)
            || !name.contains(['.', '/'])
                && !matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage");
        if whole && amount.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid(at, amount.to_string(), "must be an integer"));
        }
    }
}

/// Whether a scope can hold what a resource counts.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => OF_CLAIMS.contains(&resource),
        _ => OF_PODS.contains(&resource),
    }
}

fn standard(hard: &Value) -> impl Iterator<Item = &str> {
    entries(hard).map(|(name, _)| name).filter(|name| podspec::is_standard(name))
}

fn scopes(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let given = &spec["scopes"];
    for scope in texts(given) {
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path.clone(), given.clone(), "unsupported scope"));
        }
        for _ in standard(&spec["hard"]).filter(|resource| !applies(scope, resource)) {
            let words = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(path.clone(), given.clone(), words));
        }
    }
    let has = |scope: &str| texts(given).any(|given| given == scope);
    for _ in CONFLICTS.iter().filter(|(a, b)| has(a) && has(b)) {
        errors.push(FieldError::invalid(path.clone(), given.clone(), "conflicting scopes"));
    }
}

fn selector(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = &spec["scopeSelector"]["matchExpressions"];
    for requirement in items(list) {
        let (scope, operator) = (text(&requirement["scopeName"]), text(&requirement["operator"]));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in standard(&spec["hard"]).filter(|resource| !applies(scope, resource)) {
            let words = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(path.clone(), spec["scopeSelector"].clone(), words));
        }
        if PLAIN_SCOPES.contains(&scope) && operator != "Exists" {
            errors.push(FieldError::invalid(path.child("operator"), operator, PLAIN_WORDS));
        }
        let (values, at) = (&requirement["values"], path.child("values"));
        match operator {
            "In" | "NotIn" if !is_set(values) => {
                let words =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(at, words));
            }
            "Exists" | "DoesNotExist" if is_set(values) => {
                let words =
                    "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(at, values.clone(), words));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let words = "not a valid selector operator";
                errors.push(FieldError::invalid(path.child("operator"), other, words));
            }
        }
    }
    let has = |scope: &str| items(list).iter().any(|requirement| requirement["scopeName"] == scope);
    for _ in CONFLICTS.iter().filter(|(a, b)| has(a) && has(b)) {
        errors.push(FieldError::invalid(path.clone(), spec["scopes"].clone(), "conflicting scopes"));
    }
}

pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        for field in ["hard", "used"] {
            amounts(&new["status"][field], &Path::new("status").child(field), errors);
        }
        return;
    }
    let (now, was) = (&new["spec"]["scopes"], &old["spec"]["scopes"]);
    let within = |a: &Value, b: &Value| texts(a).all(|scope| texts(b).any(|other| other == scope));
    if !(within(now, was) && within(was, now)) {
        let at = Path::new("spec").child("scopes");
        errors.push(FieldError::invalid(at, now.clone(), check::IMMUTABLE));
    }
}
