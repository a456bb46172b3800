//! ValidatingAdmissionPolicy, and what both kinds of policy have in common.

use oarlock_api::selector::{dns1123_subdomain_faults, qualified_name_faults};
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::check::{Seen, dns1035_faults, given_one_of, invalid_each, one_of};
use super::expressions::{Composed, conditions, expression};
use super::rules::match_constraints;
use crate::expressions::{Returns, Scope};
use crate::value::{items, name, text};

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ANNOTATIONS_MAX: usize = 20;
const VALUE_EXPRESSION_BYTES_MAX: usize = 5 * 1024;

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_validating_admission_policy(new: &Value, old: Option<&Value>) -> FieldErrors {
    if old.is_some_and(|old| old["spec"] == new["spec"]) {
        // It was good when it was written, and its expressions are dear to compile.
        return FieldErrors::new();
    }
    let (spec, path, mut errors) = (&new["spec"], Path::new("spec"), FieldErrors::new());
    let scope = Scope::policy(!spec["paramKind"].is_null());
    let composed = head(spec, old.map(|old| &old["spec"]), scope, None, &path, &mut errors);
    let (validations, annotations) = (items(spec, &["validations"]), items(spec, &["auditAnnotations"]));
    if validations.is_empty() && annotations.is_empty() {
        let words = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(path.child("validations"), words));
        errors.push(FieldError::required(path.child("auditAnnotations"), words));
        return errors;
    }
    for (index, rule) in validations.iter().enumerate() {
        validation(rule, scope, &composed, &path.child("validations").index(index), &mut errors);
    }
    let at = path.child("auditAnnotations");
    if annotations.len() > ANNOTATIONS_MAX {
        let words = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(FieldError::invalid(at.clone(), annotations.to_vec(), words));
    }
    let mut seen = Seen::default();
    for (index, annotation) in annotations.iter().enumerate() {
        let at = at.index(index);
        audit_annotation(annotation, name(new), scope, &composed, &at, &mut errors);
        seen.add(text(annotation, &["key"]), &at.child("key"), &mut errors);
    }
    errors
}

/// What both kinds of policy begin with; gives the environment of what follows.
pub(super) fn head(
    spec: &Value,
    old: Option<&Value>,
    scope: Scope,
    operations: Option<&[&str]>,
    path: &Path,
    errors: &mut FieldErrors,
) -> Composed {
    given_one_of(&spec["failurePolicy"], FAILURE_POLICIES, &path.child("failurePolicy"), errors);
    if !spec["paramKind"].is_null() {
        param_kind(&spec["paramKind"], &path.child("paramKind"), errors);
    }
    match_constraints(&spec["matchConstraints"], operations, &path.child("matchConstraints"), errors);
    // What has not changed was good when it was written.
    let unchanged = old.is_some_and(|old| {
        old["paramKind"] == spec["paramKind"] && old["matchConditions"] == spec["matchConditions"]
    });
    if !unchanged {
        let scope = Scope { mutation: false, ..scope };
        conditions(items(spec, &["matchConditions"]), scope, &path.child("matchConditions"), errors);
    }
    Composed::of(spec, scope, path, errors)
}

fn param_kind(value: &Value, path: &Path, errors: &mut FieldErrors) {
    let (api_version, kind) = (text(value, &["apiVersion"]), text(value, &["kind"]));
    let at = path.child("apiVersion");
    match api_version.split('/').collect::<Vec<_>>()[..] {
        [""] => errors.push(FieldError::required(at, "")),
        [version] => group_version("", version, api_version, &at, errors),
        [group, version] => group_version(group, version, api_version, &at, errors),
        _ => {
            let words = format!("unexpected GroupVersion string: {api_version}");
            errors.push(FieldError::invalid(at, api_version, words));
        }
    }
    let at = path.child("kind");
    if kind.is_empty() {
        return errors.push(FieldError::required(at, ""));
    }
    let faults = dns1035_faults(&kind.to_lowercase());
    if !faults.is_empty() {
        let words = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
        errors.push(FieldError::invalid(at, kind, words));
    }
}

fn group_version(group: &str, version: &str, both: &str, path: &Path, errors: &mut FieldErrors) {
    if !group.is_empty() {
        let faults = dns1123_subdomain_faults(group);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(path.clone(), group, faults.join(",")));
        }
    }
    if version.is_empty() {
        return errors.push(FieldError::invalid(path.clone(), both, "version must be specified"));
    }
    let faults = dns1035_faults(version);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(path.clone(), version, faults.join(",")));
    }
}

fn validation(rule: &Value, scope: Scope, composed: &Composed, path: &Path, errors: &mut FieldErrors) {
    let source = text(rule, &["expression"]);
    let at = path.child("expression");
    if source.trim().is_empty() {
        errors.push(FieldError::required(at, "expression is not specified"));
    } else {
        expression(&composed.environment(scope), (source, source), Returns::Bool, &at, errors);
    }
    let at = path.child("messageExpression");
    match text(rule, &["messageExpression"]) {
        "" => {}
        source if source.trim().is_empty() => {
            errors.push(FieldError::invalid(at, source, "must be non-empty if specified"));
        }
        source => {
            let environment = composed.environment(scope.without_authorizer());
            expression(&environment, (source, source), Returns::String, &at, errors);
        }
    }
    let message = text(rule, &["message"]);
    let at = path.child("message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(at, message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(at, message, "message must not contain line breaks"));
    }
    one_of(&rule["reason"], REASONS, &path.child("reason"), errors);
}

fn audit_annotation(
    annotation: &Value,
    policy: &str,
    scope: Scope,
    composed: &Composed,
    path: &Path,
    errors: &mut FieldErrors,
) {
    let (key, at) = (text(annotation, &["key"]), path.child("key"));
    if policy.is_empty() {
        errors.push(FieldError::invalid(at, key, "requires metadata.name be non-empty"));
    } else {
        let whole = format!("{policy}/{key}");
        invalid_each(&whole, qualified_name_faults(&whole), &at, errors);
    }
    let source = text(annotation, &["valueExpression"]);
    let at = path.child("valueExpression");
    if source.trim().is_empty() {
        errors.push(FieldError::required(at, "valueExpression is not specified"));
    } else if source.trim().len() > VALUE_EXPRESSION_BYTES_MAX {
        let words = format!("must not exceed {VALUE_EXPRESSION_BYTES_MAX} bytes in length");
        errors.push(FieldError::required(at, words));
    } else {
        let environment = composed.environment(scope);
        expression(&environment, (source.trim(), source), Returns::StringOrNull, &at, errors);
    }
}
