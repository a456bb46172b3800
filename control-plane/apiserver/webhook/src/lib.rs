//! Calling webhooks: the client that admission, conversion, authentication, authorisation and audit share.
//!
//! A [`ClientConfig`] (from a webhook's `clientConfig` or a kubeconfig file) says where and whom to trust; [`Clients`]
//! makes one pooled [`Client`] of each; [`Client::post`] gives the body of the answer or a [`CallError`] in upstream's
//! words. Knows nothing of what is asked.

mod client;
mod clients;
mod config;
mod dial;
mod error;
mod executor;
mod kubeconfig;
mod resolve;
mod response;
mod retry;
mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod tls_text;

pub use client::{Client, Observer, Outcome};
pub use clients::Clients;
pub use config::{ClientConfig, Credentials, Secret, Target};
pub use dial::{Connector, Stream};
pub use error::{CallError, ConfigError, DialError};
pub use kubeconfig::{Authentication, from_kubeconfig};
pub use resolve::{ResolveError, Resolver};
pub use retry::{RETRY_BACKOFF, post_with_retries, should_retry};
pub use service::{Endpoint, NoServices, ServiceError, ServiceResolver};
