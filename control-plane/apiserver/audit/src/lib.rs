//! Audit: who did what, as the policy says, to a log or a webhook.
//!
//! [`Audit::begin`] asks the [`Policy`] for a request's level. What is to be told becomes a [`Record`], which the chain fills
//! and which emits an event at each stage; a [`sink`](SinkOptions) prints it once and hands the bytes to its backend over a
//! bounded queue. Without a policy there is no [`Audit`], and nothing costs anything.

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
