//! Checks that many kinds share: each adds what it finds wrong to a list. (`apimachinery/pkg/apis/meta/v1/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::names::{self, Faults};
use crate::value::{entries, items, text};

pub(crate) const IMMUTABLE: &str = "field is immutable";
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// A text against a syntax.
pub(crate) fn syntax(value: &str, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    errors.extend(rule(value).into_iter().map(|fault| FieldError::invalid(path.clone(), value, fault)));
}

/// As [`syntax`], where the field is given.
pub(crate) fn optional(value: &Value, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    let value = text(value);
    if !value.is_empty() {
        syntax(value, rule, path, errors);
    }
}

/// A text that must be given; true if it is.
pub(crate) fn required(value: &Value, path: &Path, errors: &mut FieldErrors) -> bool {
    let given = !text(value).is_empty();
    if !given {
        errors.push(FieldError::required(path.clone(), ""));
    }
    given
}

/// A name that must be given and follow a syntax.
pub(crate) fn named(value: &Value, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    if required(value, path, errors) {
        syntax(text(value), rule, path, errors);
    }
}

/// One of a sorted list, where it is given.
pub(crate) fn one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    let given = text(value);
    if !given.is_empty() && !supported.contains(&given) {
        errors.push(FieldError::not_supported(path.clone(), given, supported));
    }
}

/// One of a sorted list.
pub(crate) fn must_be_one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if required(value, path, errors) {
        one_of(value, supported, path, errors);
    }
}

pub(crate) fn not_negative(value: &Value, path: &Path, errors: &mut FieldErrors) {
    at_least(value, 0, NOT_NEGATIVE, path, errors);
}

pub(crate) fn at_least(value: &Value, least: i64, words: &str, path: &Path, errors: &mut FieldErrors) {
    if let Some(number) = value.as_i64().filter(|n| *n < least) {
        errors.push(FieldError::invalid(path.clone(), number, words));
    }
}

pub(crate) fn immutable(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    if new != old {
        errors.push(FieldError::invalid(path.clone(), new.clone(), IMMUTABLE));
    }
}

pub(crate) fn port(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some((number, fault)) = value.as_i64().and_then(|n| Some((n, names::port_number(n)?))) {
        errors.push(FieldError::invalid(path.clone(), number, fault));
    }
}

/// A number, or the name of one.
pub(crate) fn port_or_name(value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::String(name) => syntax(name, names::port_name, path, errors),
        Value::Null => port(&0.into(), path, errors),
        number => port(number, path, errors),
    }
}

/// A number that is not negative, or a percentage.
pub(crate) fn int_or_percent(value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::String(given) if percent(given).is_none() => {
            let words = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path.clone(), given.as_str(), words));
        }
        number => not_negative(number, path, errors),
    }
}

pub(crate) fn percent(value: &str) -> Option<i64> {
    let digits = value.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A plain map of labels.
pub(crate) fn labels(map: &Value, path: &Path, errors: &mut FieldErrors) {
    for (key, value) in entries(map) {
        syntax(key, names::qualified, path, errors);
        syntax(text(value), names::label_value, path, errors);
    }
}

pub(crate) fn annotations(map: &Value, path: &Path, errors: &mut FieldErrors) {
    for (key, _) in entries(map) {
        let faults = names::qualified(&key.to_lowercase()).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.clone(), key, fault)));
    }
}

/// A `metav1.LabelSelector`.
pub(crate) fn selector(selector: &Value, path: &Path, errors: &mut FieldErrors) {
    labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    for (index, expression) in items(&selector["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = items(&expression["values"]);
        match text(&expression["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let words = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(path.child("values"), words));
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(path.child("values"), words));
            }
            "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        syntax(text(&expression["key"]), names::qualified, &path.child("key"), errors);
        for (index, value) in values.iter().enumerate() {
            syntax(text(value), names::label_value, &path.child("values").index(index), errors);
        }
    }
}

/// Tells of every second occurrence.
pub(crate) struct Seen<'a>(std::collections::HashSet<&'a str>);

impl<'a> Seen<'a> {
    pub(crate) fn new() -> Self {
        Self(std::collections::HashSet::new())
    }

    pub(crate) fn add(&mut self, value: &'a str, path: &Path, errors: &mut FieldErrors) {
        if !value.is_empty() && !self.0.insert(value) {
            errors.push(FieldError::duplicate(path.clone(), value));
        }
    }
}

#[cfg(test)]
pub(crate) fn told(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
