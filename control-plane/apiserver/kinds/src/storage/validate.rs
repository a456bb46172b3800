//! Validation of StorageClasses. (`pkg/apis/storage/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::text;
use crate::{check, names};

const MODES: [&str; 2] = ["Immediate", "WaitForFirstConsumer"];
const POLICIES: [&str; 2] = ["Delete", "Retain"];

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    if check::required(&class["provisioner"], &Path::new("provisioner"), errors) {
        let lower = text(&class["provisioner"]).to_lowercase();
        check::syntax(&lower, names::qualified, &Path::new("provisioner"), errors);
    }
    check::one_of(&class["reclaimPolicy"], &POLICIES, &Path::new("reclaimPolicy"), errors);
    check::must_be_one_of(&class["volumeBindingMode"], &MODES, &Path::new("volumeBindingMode"), errors);
}

pub(super) fn class_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    for (field, words) in [
        ("parameters", "updates to parameters are forbidden."),
        ("provisioner", "updates to provisioner are forbidden."),
        ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
    ] {
        if new[field] != old[field] {
            errors.push(FieldError::forbidden(Path::new(field), words));
        }
    }
    let path = Path::new("volumeBindingMode");
    check::immutable(&new["volumeBindingMode"], &old["volumeBindingMode"], &path, errors);
}
