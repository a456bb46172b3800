//! Objects embedded in custom resources are valid objects: `apiVersion`, `kind` and `metadata`.

use oarlock_api::selector::{label_value_faults, qualified_name_faults};
use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Map, Value};

use crate::names;

/// Adds what is wrong with the objects embedded in a value; with the value itself too if it is one (`root`).
pub(crate) fn check(schema: &Structural, value: &Value, root: bool, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::Object(fields) => {
            if root || schema.embedded {
                check_object(fields, path, errors);
            }
            for (name, value) in fields.iter().filter(|(_, value)| value.is_object() || value.is_array()) {
                if let Some(property) = schema.properties.get(name) {
                    check(property, value, false, &path.child(name), errors);
                } else if let Some(schema) = schema.additional_schema() {
                    check(schema, value, false, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(schema, item, false, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn check_object(fields: &Map<String, Value>, path: &Path, errors: &mut FieldErrors) {
    for name in ["apiVersion", "kind"] {
        let at = path.child(name);
        match fields.get(name) {
            None => errors.push(FieldError::required(at, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(at, "", "must not be empty"));
            }
            Some(Value::String(text)) if name == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    errors.push(FieldError::invalid(at, text.as_str(), detail));
                }
            }
            Some(Value::String(text)) => {
                let faults = names::dns_1035(&text.to_lowercase());
                if !faults.is_empty() {
                    let detail = format!("{}{}", names::MIXED_CASE, faults.join(","));
                    errors.push(FieldError::invalid(at, text.as_str(), detail));
                }
            }
            Some(other) => errors.push(FieldError::invalid(at, other.clone(), "must be a string")),
        }
    }
    if let Some(Value::Object(metadata)) = fields.get("metadata") {
        check_metadata(metadata, &path.child("metadata"), errors);
    }
}

fn check_metadata(metadata: &Map<String, Value>, path: &Path, errors: &mut FieldErrors) {
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    if matches!(name, "." | "..") {
        errors.push(FieldError::invalid(path.child("name"), name, format!("may not be '{name}'")));
    }
    for part in ["/", "%"].into_iter().filter(|part| name.contains(part)) {
        errors.push(FieldError::invalid(path.child("name"), name, format!("may not contain '{part}'")));
    }
    let namespace = text("namespace");
    if !namespace.is_empty() {
        let faults = names::dns_label(namespace).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.child("namespace"), namespace, fault)));
    }
    for (key, value) in entries(metadata.get("labels")) {
        let at = path.child("labels");
        let faults = qualified_name_faults(key).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), key.as_str(), fault)));
        let value = value.as_str().unwrap_or_default();
        let faults = label_value_faults(value).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), value, fault)));
    }
    for (key, _) in entries(metadata.get("annotations")) {
        let faults = qualified_name_faults(&key.to_lowercase()).into_iter();
        errors
            .extend(faults.map(|fault| FieldError::invalid(path.child("annotations"), key.as_str(), fault)));
    }
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten()
}
