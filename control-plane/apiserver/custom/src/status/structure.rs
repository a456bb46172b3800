//! Whether the schemas of a definition are structural.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::conditions::Condition;
use crate::value::{flag, items};

pub(super) const NON_STRUCTURAL: &str = "NonStructuralSchema";

/// The condition, where something is wrong. Only definitions that preserve unknown fields were ever accepted with a
/// schema that is not structural, so the schemas of others are not read again.
pub(super) fn condition(crd: &Value) -> Option<Condition> {
    let (spec, path) = (&crd["spec"], Path::new("spec"));
    let preserves = flag(&spec["preserveUnknownFields"]);
    if !preserves && crate::value::condition(crd, NON_STRUCTURAL).is_none() {
        return None;
    }
    let mut errors = FieldErrors::new();
    if preserves {
        errors.push(FieldError::invalid(path.child("preserveUnknownFields"), true, "must be false"));
    }
    for (index, version) in items(&spec["versions"]).iter().enumerate() {
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_object() {
            let path = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
            errors.extend(Structural::parse_at(schema, &path).err().into_iter().flatten());
        }
    }
    if errors.is_empty() {
        return None;
    }
    let message = aggregate(&errors);
    Some(Condition { kind: NON_STRUCTURAL, status: "True", reason: "Violations", message })
}

/// Faults in one line, each once.
pub(crate) fn aggregate(errors: &[FieldError]) -> String {
    let mut told: Vec<String> = Vec::new();
    for error in errors.iter().map(ToString::to_string) {
        if !told.contains(&error) {
            told.push(error);
        }
    }
    match told.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
