//! The form of `x-kubernetes-validations`; their expressions are checked elsewhere.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::fieldpath::valid_path;
use crate::value::{items, text};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

const BLANK: &str = "must be non-empty if specified";
const BROKEN: &str = "must not contain line breaks";

pub(super) fn validate(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, rule) in items(&schema["x-kubernetes-validations"]).iter().enumerate() {
        let at = path.child("x-kubernetes-validations").index(index);
        errors.extend(wording(rule, &at));
        errors.extend(expression(rule, &at));
        errors.extend(reason(rule, &at));
        errors.extend(field_path(rule, schema, &at));
    }
}

/// How a text is written.
struct Writing<'t> {
    text: &'t str,
    is_empty: bool,
    /// Something is written, of white space only.
    is_blank: bool,
    /// Between its first and last word.
    has_breaks: bool,
}

impl<'t> Writing<'t> {
    fn of(value: &'t Value) -> Self {
        let text = text(value);
        let words = text.trim();
        Self {
            text,
            is_empty: words.is_empty(),
            is_blank: words.is_empty() && !text.is_empty(),
            has_breaks: words.contains(['\n', '\r']),
        }
    }
}

/// The first that is wrong of a rule and its message.
fn wording(rule: &Value, at: &Path) -> Option<FieldError> {
    let (expression, message) = (Writing::of(&rule["rule"]), Writing::of(&rule["message"]));
    let message_at = at.child("message");
    match (&expression, &message) {
        (Writing { is_empty: true, .. }, _) => {
            Some(FieldError::required(at.child("rule"), "rule is not specified"))
        }
        (_, Writing { is_blank: true, .. }) => Some(FieldError::invalid(message_at, message.text, BLANK)),
        (_, Writing { has_breaks: true, .. }) => Some(FieldError::invalid(message_at, message.text, BROKEN)),
        (Writing { has_breaks: true, .. }, Writing { is_empty: true, .. }) => {
            let detail = "message must be specified if rule contains line breaks";
            Some(FieldError::required(message_at, detail))
        }
        _ => None,
    }
}

fn expression(rule: &Value, at: &Path) -> Option<FieldError> {
    let detail = "messageExpression must be non-empty if specified";
    let is_blank = Writing::of(&rule["messageExpression"]).is_blank;
    is_blank.then(|| FieldError::required(at.child("messageExpression"), detail))
}

fn reason(rule: &Value, at: &Path) -> Option<FieldError> {
    let reason = text(&rule["reason"]);
    let is_known = rule["reason"].is_null() || REASONS.contains(&reason);
    (!is_known).then(|| FieldError::not_supported(at.child("reason"), reason, &REASONS))
}

/// All that is wrong of the field that a rule is told at.
fn field_path(rule: &Value, schema: &Value, at: &Path) -> FieldErrors {
    let writing = Writing::of(&rule["fieldPath"]);
    let given = writing.text;
    if given.is_empty() {
        return FieldErrors::new();
    }
    let leads_nowhere = valid_path(given, &Structural::read(schema), true).is_err();
    // Here breaks around the words count as well.
    let told = [
        (writing.is_blank, BLANK),
        (given.contains(['\n', '\r']), BROKEN),
        (leads_nowhere, "must be a valid path"),
    ];
    let told = told.into_iter().filter(|(is_wrong, _)| *is_wrong);
    told.map(|(_, detail)| FieldError::invalid(at.child("fieldPath"), given, detail)).collect()
}
