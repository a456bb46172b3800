//! Admission that users configure: webhooks and policies.
//!
//! Each plugin keeps what it compiled from its configuration objects until one of them changes; without any, a request
//! costs it one comparison. Matching, reviews and decisions are pure; the calls and the look-ups stand beside them.

mod compiled;
mod expressions;
mod facts;
mod matching;
mod metrics;
mod owners;
mod param_access;
mod policy;
mod reinvoke;
#[cfg(test)]
mod testing;
pub mod validate;
mod value;
mod versions;
mod warnings;
mod webhook;
mod world;

pub use metrics::register_metrics;
pub use param_access::PolicyParamAccess;
pub use policy::{MutatingAdmissionPolicy, ValidatingAdmissionPolicy, type_check};
pub use reinvoke::mutate;
pub use warnings::truncate_warnings;
pub use webhook::{MutatingAdmissionWebhook, ValidatingAdmissionWebhook};
pub use world::World;
