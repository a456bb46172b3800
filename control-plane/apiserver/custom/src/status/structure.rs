//! Whether the schemas of a definition are structural.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::conditions::Condition;
use crate::value::{flag, items};

/// The condition, where something is wrong.
pub(super) fn condition(crd: &Value) -> Option<Condition> {
    let (spec, path) = (&crd["spec"], Path::new("spec"));
    let mut errors = FieldErrors::new();
    if flag(&spec["preserveUnknownFields"]) {
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
    Some(Condition { kind: "NonStructuralSchema", status: "True", reason: "Violations", message })
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
