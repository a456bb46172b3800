//! Calling webhooks: the client that admission, conversion, authentication, authorisation and audit share.
//!
//! A [`ClientConfig`] (from a webhook's `clientConfig` or a kubeconfig file) says where and whom to trust; [`Clients`]
//! makes one pooled [`Client`] of each; [`Client::post`] gives the body of the answer or a [`CallError`] in upstream's
//! words, which are Go's. Services are found by the [`ServiceResolver`] that the server hands in, anew for every connection;
//! names by [`Resolver`], never by getaddrinfo. Knows nothing of what is asked.
//!
//! HTTP/1.1 with keep-alive to Services and hosts, so that calls spread over endpoints as upstream's do; HTTP/2 to loopback.
//! Who speaks HTTP of their own (aggregation) takes [`Client::connector`]: the same resolution, trust and texts.
//!
//! ```no_run
//! # use oarlock_apiserver_webhook::{ClientConfig, Clients};
//! # async fn example(clients: &Clients, config: &serde_json::Value) -> Result<(), Box<dyn std::error::Error>> {
//! // {"service": {"namespace": "default", "name": "hook", "path": "/validate"}, "caBundle": "…"}
//! let client = clients.client(&ClientConfig::from_client_config(config)?)?; // connects nothing yet
//! let answer = client.post("{}".into(), Some(std::time::Duration::from_secs(10))).await?;
//! # let _: bytes::Bytes = answer;
//! # Ok(())
//! # }
//! ```
//!
//! The feature `testing` holds an HTTPS server that plays a webhook.

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
