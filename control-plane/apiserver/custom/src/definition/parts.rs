//! Subresources, printer columns, selectable fields and deprecation of a version.

use std::collections::HashSet;

use oarlock_api::structural::{JsonType, Structural};
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::fieldpath::valid_path;
use super::layout::Place;
use super::spec::Options;
use crate::value::{flag, items, text};

const DATA_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: usize = 8;
const WARNING_BYTES_MAX: usize = 256;

pub(super) fn deprecation(version: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(told) = version["deprecationWarning"].as_str() else { return };
    let mut refuse = |detail: String| errors.push(FieldError::invalid(path.clone(), told, detail));
    if !flag(&version["deprecated"]) {
        refuse("can only be set for deprecated versions".into());
        return;
    }
    if told.len() > WARNING_BYTES_MAX {
        refuse(format!("must be <= {WARNING_BYTES_MAX} characters long"));
    }
    if told.is_empty() {
        refuse("must not be an empty string".into());
    }
    if let Some((at, _)) =
        told.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' '))
    {
        refuse(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

pub(super) fn subresources(value: &Value, path: &Path, errors: &mut FieldErrors) {
    let scale = &value["scale"];
    if !scale.is_object() {
        return;
    }
    let mut replicas = |field: &str, prefix: &str| {
        let (at, given) = (path.child("scale").child(field), text(&scale[field]));
        if given.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !given.starts_with('.') {
            errors.push(FieldError::invalid(at, given, "must be a simple json path starting with ."));
        } else if !given.starts_with(prefix) {
            let detail = format!("should be a json path under {}", prefix.trim_end_matches('.'));
            errors.push(FieldError::invalid(at, given, detail));
        }
    };
    replicas("specReplicasPath", ".spec.");
    replicas("statusReplicasPath", ".status.");
    let selector = text(&scale["labelSelectorPath"]);
    let at = path.child("scale").child("labelSelectorPath");
    if selector.is_empty() || selector.starts_with(".spec.") || selector.starts_with(".status.") {
        return;
    }
    let detail = if selector.starts_with('.') {
        "should be a json path under either .spec or .status"
    } else {
        "must be a simple json path starting with ."
    };
    errors.push(FieldError::invalid(at, selector, detail));
}

pub(super) fn columns(value: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, column) in items(value).iter().enumerate() {
        let at = path.index(index);
        if text(&column["name"]).is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        }
        let kind = text(&column["type"]);
        let detail = format!("must be one of {}", DATA_TYPES.join(","));
        if kind.is_empty() {
            errors.push(FieldError::required(at.child("type"), detail));
        } else if !DATA_TYPES.contains(&kind) {
            errors.push(FieldError::invalid(at.child("type"), kind, detail));
        }
        let format = text(&column["format"]);
        if !format.is_empty() && !FORMATS.contains(&format) {
            let detail = format!("must be one of {}", FORMATS.join(","));
            errors.push(FieldError::invalid(at.child("format"), format, detail));
        }
        let json_path = text(&column["jsonPath"]);
        if json_path.is_empty() {
            errors.push(FieldError::required(at.child("JSONPath"), ""));
        } else if !json_path.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(at.child("JSONPath"), json_path, detail));
        }
    }
}

pub(super) fn selectable_fields(place: &Place<'_>, options: &Options, errors: &mut FieldErrors) {
    let fields = items(place.value);
    if fields.is_empty() {
        return;
    }
    let path = &place.path;
    let schema = &place.version["schema"]["openAPIV3Schema"];
    if !schema.is_object() {
        let detail = if place.shared {
            "may only be set when validations.schema is included"
        } else {
            "may only be set when `version.schema.openAPIV3Schema` is not included"
        };
        errors.push(FieldError::invalid(path.clone(), "", detail));
        return;
    }
    let schema = Structural::read(schema);
    let mut seen = HashSet::new();
    for (index, field) in fields.iter().enumerate() {
        let (at, given) = (path.index(index).child("jsonPath"), text(&field["jsonPath"]));
        if given.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let (normal, found) = match valid_path(given, &schema, false) {
            Ok(found) => found,
            Err(fault) => {
                errors.push(FieldError::invalid(at, given, format!("is an invalid path: {fault}")));
                continue;
            }
        };
        if normal.as_str().split('.').next() == Some("metadata") {
            errors.push(FieldError::invalid(at.clone(), given, "must not point to fields in metadata"));
        }
        if !matches!(found.kind, Some(JsonType::String | JsonType::Boolean | JsonType::Integer)) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(FieldError::invalid(at.clone(), given, detail));
        }
        if !seen.insert(normal.as_str().to_string()) {
            errors.push(FieldError::duplicate(at, given));
        }
    }
    let kept = options.many_selectable.iter().any(|name| name == text(&place.version["name"]));
    if seen.len() > SELECTABLE_MAX && !kept {
        errors.push(FieldError::too_many(path.clone(), seen.len(), SELECTABLE_MAX));
    }
}
