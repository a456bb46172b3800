//! The form of `x-kubernetes-validations`; their expressions are checked elsewhere.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::fieldpath::valid_path;
use crate::value::{items, text};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

fn has_newlines(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

pub(super) fn validate(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, rule) in items(&schema["x-kubernetes-validations"]).iter().enumerate() {
        let at = path.child("x-kubernetes-validations").index(index);
        words(rule, &at, errors);
        let reason = text(&rule["reason"]);
        if !reason.is_empty() && !REASONS.contains(&reason) {
            errors.push(FieldError::not_supported(at.child("reason"), reason, &REASONS));
        }
        let given = text(&rule["fieldPath"]);
        let at = at.child("fieldPath");
        if given.is_empty() {
            continue;
        }
        if given.trim().is_empty() {
            errors.push(FieldError::invalid(at.clone(), given, "must be non-empty if specified"));
        }
        if has_newlines(given) {
            errors.push(FieldError::invalid(at.clone(), given, "must not contain line breaks"));
        }
        if valid_path(given, &Structural::read(schema), true).is_err() {
            errors.push(FieldError::invalid(at, given, "must be a valid path"));
        }
    }
}

fn words(rule: &Value, at: &Path, errors: &mut FieldErrors) {
    let (expression, message) = (text(&rule["rule"]), text(&rule["message"]));
    let told = at.child("message");
    if expression.trim().is_empty() {
        errors.push(FieldError::required(at.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(told, message, "must be non-empty if specified"));
    } else if has_newlines(message.trim()) {
        errors.push(FieldError::invalid(told, message, "must not contain line breaks"));
    } else if has_newlines(expression.trim()) && message.trim().is_empty() {
        errors.push(FieldError::required(told, "message must be specified if rule contains line breaks"));
    }
    let expression = text(&rule["messageExpression"]);
    if !expression.is_empty() && expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(at.child("messageExpression"), detail));
    }
}
