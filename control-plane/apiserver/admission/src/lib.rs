//! Admission that users configure: webhooks and policies.
//!
//! Four plugins of the chain in `oarlock-apiserver-access`, over a [`World`] that the server hands in (its objects, what it
//! serves, its authoriser): [`MutatingAdmissionPolicy`] and [`MutatingAdmissionWebhook`] after the built-in plugins,
//! [`ValidatingAdmissionPolicy`] and [`ValidatingAdmissionWebhook`] before ResourceQuota; behind them [`PolicyParamAccess`], for
//! who writes a `paramKind` must be able to read it. Knows nothing of routes, and stores nothing.
//!
//! Each plugin keeps what it compiled from its configuration objects until one of them changes; without any, a request
//! costs it one comparison. Matching, reviews and decisions are pure; the calls and the look-ups stand beside them. The way of
//! a request: `matching` (is it concerned?) → `expressions` (match conditions, by CEL) → `webhook` or `policy` (what is
//! asked, and what is made of the answer) → the object, a refusal, warnings, audit annotations.
//!
//! The mutating half is run by [`mutate`], which runs the chain a second time where a webhook or a policy changed the object:
//!
//! ```no_run
//! # use oarlock_api::Status;
//! # use oarlock_apiserver_access::{AdmissionRequest, admission::AdmissionChain};
//! # async fn example(chain: &AdmissionChain, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
//! oarlock_apiserver_admission::mutate(chain, request).await?;
//! chain.validate(request).await?;
//! // Those of the validating half came by another way: it cannot write to the request.
//! let warnings = request.annotations.take_warnings();
//! # let _ = warnings;
//! # Ok(())
//! # }
//! ```
//!
//! A request shows its own resource and version; what a webhook or a policy wants in another is converted by the [`World`].
//! For a deletion there is only the old object; for a connection the object is its options. [`validate`] holds the
//! validation of the six configuration kinds, [`type_check`] the status of policies.

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
