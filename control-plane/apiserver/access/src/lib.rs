//! Who may do what: authentication, authorisation and admission. Each is a chain of links behind one trait; the request
//! chain of the API server calls them in its order and knows none of them by name.

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
mod value;

pub use metrics::AccessMetrics;
pub use types::{
    AdmissionPlugin, AdmissionRequest, Annotations, Attributes, AuthenticationError, Authenticator,
    Authorizer, Credentials, Decision, ObjectEvent, Objects, Operation, Phase, Rules, ServedResource,
    Surface, User,
};
