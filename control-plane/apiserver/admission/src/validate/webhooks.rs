//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration. What was stored before a rule was made may stay
//! while all of it was so.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::check::{
    Seen, dns1035_faults, fully_qualified, has_selector_faults, invalid_each, one_of, selector,
};
use super::expressions::conditions;
use super::rules::{MATCH_POLICIES, rule};
use super::url::client_config;
use crate::expressions::Scope;
use crate::value::{items, text};

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// What is asked of every webhook of the object.
struct Strictness {
    conditions: bool,
    no_side_effects: bool,
    known_version: bool,
    unique_names: bool,
    strict_selectors: bool,
    reinvocation: bool,
}

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_mutating_webhook_configuration(new: &Value, old: Option<&Value>) -> FieldErrors {
    configuration(new, &Strictness::against(new, old, true))
}

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_validating_webhook_configuration(new: &Value, old: Option<&Value>) -> FieldErrors {
    configuration(new, &Strictness::against(new, old, false))
}

fn hooks(object: &Value) -> &[Value] {
    items(object, &["webhooks"])
}

fn knows_version(hook: &Value) -> bool {
    let versions = items(hook, &["admissionReviewVersions"]);
    versions.iter().any(|version| version.as_str().is_some_and(|v| REVIEW_VERSIONS.contains(&v)))
}

impl Strictness {
    fn against(new: &Value, old: Option<&Value>, reinvocation: bool) -> Self {
        let Some(old) = old else {
            return Self {
                conditions: true,
                no_side_effects: true,
                known_version: true,
                unique_names: true,
                strict_selectors: true,
                reinvocation,
            };
        };
        let (new, old) = (hooks(new), hooks(old));
        let same = new.len() == old.len()
            && new.iter().zip(old).all(|(new, old)| new["matchConditions"] == old["matchConditions"]);
        let mut names: Vec<&str> = old.iter().map(|hook| text(hook, &["name"])).collect();
        names.sort_unstable();
        Self {
            conditions: !same,
            no_side_effects: old.iter().all(|hook| {
                hook["sideEffects"].as_str().is_some_and(|class| NO_SIDE_EFFECTS.contains(&class))
            }),
            known_version: old
                .iter()
                .all(|hook| items(hook, &["admissionReviewVersions"]).is_empty() || knows_version(hook)),
            unique_names: names.windows(2).all(|pair| pair[0] != pair[1]),
            strict_selectors: !old.iter().any(|hook| {
                ["namespaceSelector", "objectSelector"].iter().any(|field| has_selector_faults(&hook[*field]))
            }),
            reinvocation,
        }
    }
}

fn configuration(object: &Value, strict: &Strictness) -> FieldErrors {
    let (mut errors, mut seen) = (FieldErrors::new(), Seen::default());
    for (index, hook) in hooks(object).iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        webhook(hook, strict, &path, &mut errors);
        review_versions(hook, strict, &path.child("admissionReviewVersions"), &mut errors);
        let name = text(hook, &["name"]);
        if strict.unique_names && !name.is_empty() {
            seen.add(name, &path.child("name"), &mut errors);
        }
    }
    errors
}

fn webhook(hook: &Value, strict: &Strictness, path: &Path, errors: &mut FieldErrors) {
    fully_qualified(text(hook, &["name"]), &path.child("name"), errors);
    for (index, value) in items(hook, &["rules"]).iter().enumerate() {
        rule(value, &path.child("rules").index(index), errors);
    }
    one_of(&hook["failurePolicy"], FAILURE_POLICIES, &path.child("failurePolicy"), errors);
    one_of(&hook["matchPolicy"], MATCH_POLICIES, &path.child("matchPolicy"), errors);
    side_effects(&hook["sideEffects"], strict, &path.child("sideEffects"), errors);
    if let Some(seconds) = hook["timeoutSeconds"].as_i64().filter(|s| !(1..=30).contains(s)) {
        let words = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(path.child("timeoutSeconds"), seconds, words));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if !hook[field].is_null() {
            selector(&hook[field], !strict.strict_selectors, &path.child(field), errors);
        }
    }
    if strict.reinvocation {
        let at = path.child("reinvocationPolicy");
        one_of(&hook["reinvocationPolicy"], REINVOCATION_POLICIES, &at, errors);
    }
    client_config(&hook["clientConfig"], &path.child("clientConfig"), errors);
    if strict.conditions {
        let list = items(hook, &["matchConditions"]);
        conditions(list, Scope::webhook(), &path.child("matchConditions"), errors);
    }
}

fn side_effects(value: &Value, strict: &Strictness, path: &Path, errors: &mut FieldErrors) {
    let allowed = if strict.no_side_effects { NO_SIDE_EFFECTS } else { SIDE_EFFECTS };
    match value.as_str() {
        None => {
            let words = format!("must specify one of {}", allowed.join(", "));
            errors.push(FieldError::required(path.clone(), words));
        }
        Some(class) if !allowed.contains(&class) => {
            errors.push(FieldError::not_supported(path.clone(), class, allowed));
        }
        Some(_) => {}
    }
}

fn review_versions(hook: &Value, strict: &Strictness, path: &Path, errors: &mut FieldErrors) {
    let versions = items(hook, &["admissionReviewVersions"]);
    if versions.is_empty() {
        let words = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        return errors.push(FieldError::required(path.clone(), words));
    }
    let mut seen = Seen::default();
    for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        let at = path.index(index);
        if seen.has(version) {
            errors.push(FieldError::invalid(at, version, "duplicate version"));
            continue;
        }
        seen.add(version, &at, errors);
        invalid_each(version, dns1035_faults(version), &at, errors);
    }
    if strict.known_version && !knows_version(hook) {
        let words = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path.clone(), versions.to_vec(), words));
    }
}
