//! Audit: who did what, as the policy says, to a log or a webhook.
//!
//! [`Audit::begin`] asks the [`Policy`] for a request's level. What is to be told becomes a [`Record`], which the chain fills
//! and which emits an event at each stage; a [`sink`](SinkOptions) prints it once and hands the bytes to its backend over a
//! bounded queue. Without a policy there is no [`Audit`], and nothing costs anything; a request that the policy passes over
//! allocates nothing. Knows nothing of how requests are served.
//!
//! In the modes *blocking* and *blocking-strict* the calls that end a stage wait for the write, in *batch* they never do. The
//! backends are tasks of the server's and write out what is queued when they stop: let requests end first. A watch keeps its
//! [`Record`] in the body; dropping the last one tells the end, so a client that goes away is told as well.
//!
//! ```no_run
//! # use oarlock_apiserver_audit::{Audit, NotStored, Request};
//! # use std::sync::Arc;
//! # async fn example(audit: &Arc<Audit>, request: &Request<'_>) -> Result<(), NotStored> {
//! if let Some(record) = audit.begin(request) {      // after authentication, before impersonation
//!     record.request_received().await?;             // fails in blocking-strict mode only
//!     record.authorized(true, "RBAC: allowed by …");
//!     if record.wants_request() {
//!         record.request_object(&serde_json::json!({"kind": "Pod"}));
//!     }
//!     record.response_complete(201).await;
//! }
//! # Ok(())
//! # }
//! ```

mod audit;
mod event;
mod file;
mod metrics;
mod policy;
mod record;
mod rotate;
mod sink;
mod source;
mod validate;
mod webhook;

pub use audit::{Audit, LogOptions, Options, Request, WebhookOptions};
pub use metrics::Metrics;
pub use policy::{Level, Policy, PolicyError, Stage, Subject};
pub use record::{NotStored, Record};
pub use rotate::Rotation;
pub use sink::{BatchOptions, Format, Mode, SinkOptions, Truncation};
pub use webhook::Sender;
