//! MutatingAdmissionPolicy.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::check::must_be_one_of;
use super::expressions::{Composed, expression};
use super::policies::head;
use crate::expressions::{Returns, Scope};
use crate::value::{items, text};

const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];
/// What is deleted cannot be changed.
pub(super) const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

/// What is wrong with a new object, or with one that replaces `old`. Metadata is validated elsewhere.
pub fn validate_mutating_admission_policy(new: &Value, old: Option<&Value>) -> FieldErrors {
    if old.is_some_and(|old| old["spec"] == new["spec"]) {
        // It was good when it was written, and its expressions are dear to compile.
        return FieldErrors::new();
    }
    let (spec, path, mut errors) = (&new["spec"], Path::new("spec"), FieldErrors::new());
    let scope = Scope::mutating(!spec["paramKind"].is_null());
    let old = old.map(|old| &old["spec"]);
    let composed = head(spec, old, scope, Some(OPERATIONS), &path, &mut errors);
    let mutations = items(spec, &["mutations"]);
    if mutations.is_empty() {
        let words = "mutations must contain at least one item";
        errors.push(FieldError::required(path.child("mutations"), words));
    }
    for (index, value) in mutations.iter().enumerate() {
        mutation(value, scope, &composed, &path.child("mutations").index(index), &mut errors);
    }
    let at = path.child("reinvocationPolicy");
    must_be_one_of(&spec["reinvocationPolicy"], REINVOCATION_POLICIES, &at, &mut errors);
    errors
}

fn mutation(value: &Value, scope: Scope, composed: &Composed, path: &Path, errors: &mut FieldErrors) {
    let (own, other, returns) = match text(value, &["patchType"]) {
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Returns::Object),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Returns::Patches),
        _ => return must_be_one_of(&value["patchType"], PATCH_TYPES, &path.child("patchType"), errors),
    };
    let kind = text(value, &["patchType"]);
    if value[own].is_null() {
        let words = format!("must be specified when patchType is {kind}");
        errors.push(FieldError::required(path.child(own), words));
    } else {
        let at = path.child(own).child("expression");
        let source = text(value, &[own, "expression"]).trim();
        if source.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else {
            expression(&composed.environment(scope), (source, source), returns, &at, errors);
        }
    }
    if !value[other].is_null() {
        let words = format!("must not be specified when patchType is {kind}");
        errors.push(FieldError::invalid(path.child(other), format!("{{{other}}}"), words));
    }
}
