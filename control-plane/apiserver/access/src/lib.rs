//! Who may do what: [`authentication`], [`authorization`] and [`admission`]. Each is a chain of links behind one trait; the
//! request chain of the API server calls them in its order and knows none of them by name.
//!
//! What they look up comes from the server's cache through [`Objects`], what is served from [`Surface`]. Nothing here stores
//! anything, but for the two doors that the server hands in (the status of quotas, namespaces that are provided). The way of a request:
//!
//! 1. [`authentication::AuthenticationChain`]: credentials → a [`User`], or 401;
//! 2. [`impersonate`]: the user that it wants to be, if the caller may;
//! 3. [`authorization`]: [`Attributes`] → a [`Decision`] with its reason; the first opinion counts;
//! 4. [`admission::AdmissionChain`]: mutates, later validates an [`AdmissionRequest`]. A plugin is asked first whether a request
//!    concerns it at all, so that a write which nothing looks at allocates nothing.
//!
//! [`reviews`] and [`token`] answer the kinds that are asked and never stored. What configurations and flags say is plain data
//! (`AuthenticationConfig`, `AuthorizationConfig`, `AdmissionConfig`); all faults in it come together.
//!
//! ```no_run
//! # use oarlock_apiserver_access::{Attributes, Authorizer, Decision, authorization::forbidden};
//! # use oarlock_api::Status;
//! # async fn example(authorizer: &dyn Authorizer, attributes: &Attributes) -> Result<(), Status> {
//! match authorizer.authorize(attributes).await {
//!     Decision::Allow(_) => Ok(()),
//!     Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(attributes, &reason)),
//! }
//! # }
//! ```
//!
//! What the server owes the deciders: namespaces, quotas, limit ranges, classes, service accounts and nodes are asked for on
//! writes, so their objects are kept parsed; `Attributes.name` of a list is the value of a `metadata.name=` selector (the Node
//! authoriser lets a kubelet watch single Secrets by it); admission runs before a token is issued, a pod bound or evicted;
//! bootstrap roles are stored before anybody but `system:masters` is let in.

pub mod admission;
pub mod authentication;
pub mod authorization;
mod expressions;
pub mod impersonate;
mod metrics;
mod names;
mod pod_references;
mod resources;
pub mod reviews;
#[cfg(test)]
mod testing;
pub mod token;
mod ttl_cache;
mod types;

pub use metrics::AccessMetrics;
use oarlock_api::value;
pub use types::{
    AdmissionPlugin, AdmissionRequest, Annotations, Attributes, AuthenticationError, Authenticator,
    Authorizer, Credentials, Decision, ObjectEvent, Objects, Operation, Phase, Rules, ServedResource,
    Surface, User,
};
