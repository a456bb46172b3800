//! What configuration objects may say, with upstream's words for what they may not. Pure. Object metadata is validated
//! by who calls. (`pkg/apis/admissionregistration/validation`)

mod bindings;
mod check;
mod expressions;
mod mutations;
mod policies;
mod rules;
#[cfg(test)]
mod tests;
mod url;
mod webhooks;

use oarlock_api::FieldErrors;
use serde_json::Value;

pub use bindings::{
    validate_mutating_admission_policy_binding, validate_validating_admission_policy_binding,
};
pub use mutations::validate_mutating_admission_policy;
pub use policies::validate_validating_admission_policy;
pub use webhooks::{validate_mutating_webhook_configuration, validate_validating_webhook_configuration};

/// An object, and on an update the one that it replaces.
pub type Validate = fn(&Value, Option<&Value>) -> FieldErrors;

/// The validation of a kind of `admissionregistration.k8s.io`.
pub fn for_kind(kind: &str) -> Option<Validate> {
    Some(match kind {
        "MutatingWebhookConfiguration" => validate_mutating_webhook_configuration,
        "ValidatingWebhookConfiguration" => validate_validating_webhook_configuration,
        "ValidatingAdmissionPolicy" => validate_validating_admission_policy,
        "ValidatingAdmissionPolicyBinding" => validate_validating_admission_policy_binding,
        "MutatingAdmissionPolicy" => validate_mutating_admission_policy,
        "MutatingAdmissionPolicyBinding" => validate_mutating_admission_policy_binding,
        _ => return None,
    })
}
