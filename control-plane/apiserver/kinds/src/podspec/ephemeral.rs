//! Ephemeral containers: for looking into a pod, so much is refused them.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::Whole;
use super::container::{EPHEMERAL, PROBES, common};
use crate::check::Seen;
use crate::value::{is_set, items, text};

const REFUSED: [&str; 6] =
    ["ports", "lifecycle", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"];
const WORDS: &str = "cannot be set for an Ephemeral Container";

pub(super) fn all<'a>(whole: &Whole<'a>, seen: &mut Seen<'a>, path: &Path, errors: &mut FieldErrors) {
    let spec = whole.spec;
    let is_other = |name: &str| {
        ["containers", "initContainers"]
            .iter()
            .any(|list| items(&spec[*list]).iter().any(|c| c["name"] == name))
    };
    for (index, container) in items(&spec[EPHEMERAL]).iter().enumerate() {
        let path = path.index(index);
        common(container, whole, &path, errors);
        seen.add(text(&container["name"]), &path.child("name"), errors);
        let target = text(&container["targetContainerName"]);
        if !target.is_empty() && !is_other(target) {
            errors.push(FieldError::not_found(path.child("targetContainerName"), target));
        }
        for field in REFUSED.iter().chain(&PROBES).filter(|field| refused(&container[**field])) {
            errors.push(FieldError::forbidden(path.child(field), WORDS));
        }
        for (index, mount) in items(&container["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"].iter().filter(|field| is_set(&mount[**field])) {
                let at = path.child("volumeMounts").index(index).child(field);
                errors.push(FieldError::forbidden(at, WORDS));
            }
        }
    }
}

/// Pointers count as soon as they are there.
fn refused(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}
