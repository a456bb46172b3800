//! Checks that these kinds share.

use oarlock_api::selector::{dns1123_subdomain_faults, label_value_faults, qualified_name_faults};
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{items, text};

const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_BYTES_MAX: usize = 63;

pub(super) fn invalid_each(value: &str, faults: Vec<String>, path: &Path, errors: &mut FieldErrors) {
    errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.clone(), value, fault)));
}

pub(super) fn dns1035_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LABEL_BYTES_MAX {
        faults.push(format!("must be no more than {LABEL_BYTES_MAX} characters"));
    }
    let bytes = value.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || *b == b'-');
    if !good {
        faults.push(DNS_1035.into());
    }
    faults
}

/// A name that is one part of a path.
pub(super) fn path_segment_faults(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// At least three segments.
pub(super) fn fully_qualified(name: &str, path: &Path, errors: &mut FieldErrors) {
    if name.is_empty() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    let faults = dns1123_subdomain_faults(name);
    if !faults.is_empty() {
        return errors.push(FieldError::invalid(path.clone(), name, faults.join(",")));
    }
    if name.split('.').count() < 3 {
        let words = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
}

/// One of a sorted list, where it is given.
pub(super) fn one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if let Some(given) = value.as_str()
        && !supported.contains(&given)
    {
        errors.push(FieldError::not_supported(path.clone(), given, supported));
    }
}

/// One of a sorted list.
pub(super) fn must_be_one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if value.as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    } else {
        one_of(value, supported, path, errors);
    }
}

/// As [`must_be_one_of`] of a field that is a pointer: an empty text is given.
pub(super) fn given_one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if value.is_null() {
        errors.push(FieldError::required(path.clone(), ""));
    } else {
        one_of(value, supported, path, errors);
    }
}

/// Tells of every second occurrence.
#[derive(Default)]
pub(super) struct Seen<'a>(std::collections::HashSet<&'a str>);

impl<'a> Seen<'a> {
    pub(super) fn add(&mut self, value: &'a str, path: &Path, errors: &mut FieldErrors) {
        if !self.0.insert(value) {
            errors.push(FieldError::duplicate(path.clone(), value));
        }
    }

    pub(super) fn has(&self, value: &str) -> bool {
        self.0.contains(value)
    }
}

/// A `metav1.LabelSelector`. `lenient`: values that are no labels were stored before, and may stay.
pub(super) fn selector(selector: &Value, lenient: bool, path: &Path, errors: &mut FieldErrors) {
    let labels = path.child("matchLabels");
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        invalid_each(key, qualified_name_faults(key), &labels, errors);
        let value = value.as_str().unwrap_or_default();
        invalid_each(value, label_value_faults(value), &labels, errors);
    }
    for (index, expression) in items(selector, &["matchExpressions"]).iter().enumerate() {
        requirement(expression, lenient, &path.child("matchExpressions").index(index), errors);
    }
}

fn requirement(expression: &Value, lenient: bool, path: &Path, errors: &mut FieldErrors) {
    let values = items(expression, &["values"]);
    let at = path.child("values");
    match text(expression, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(at, words));
        }
        "Exists" | "DoesNotExist" => {}
        other => {
            let words = "not a valid selector operator";
            errors.push(FieldError::invalid(path.child("operator"), other, words));
        }
    }
    let key = text(expression, &["key"]);
    invalid_each(key, qualified_name_faults(key), &path.child("key"), errors);
    if !lenient {
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            invalid_each(value, label_value_faults(value), &path.child("values").index(index), errors);
        }
    }
}

pub(super) fn has_selector_faults(value: &Value) -> bool {
    let mut errors = FieldErrors::new();
    selector(value, false, &Path::root(), &mut errors);
    !errors.is_empty()
}
