//! Policies written in CEL: ValidatingAdmissionPolicy and MutatingAdmissionPolicy. (`admission/plugin/policy`)

mod definition;
mod dispatch;
mod mutating;
mod mutation;
mod params;
mod policies;
#[cfg(test)]
mod tests;
mod type_check;
mod validating;
mod validation;

pub use mutating::MutatingAdmissionPolicy;
pub use type_check::type_check;
pub use validating::ValidatingAdmissionPolicy;
