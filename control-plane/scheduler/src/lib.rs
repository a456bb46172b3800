//! kube-scheduler: gives every pod a node.
//!
//! The watch of pods and nodes feeds a `cache` and a `queue` (`watch`); one loop (`schedule`) takes pod after
//! pod, brings a snapshot up to date by what changed, and decides purely (`cycle`) by the plugins of the pod's
//! profile ([`framework`], [`plugins`]); bindings are written beside the loop, several at a time (`bind`). Nothing
//! runs while nothing changes. Knows nothing of where the API is served from.

mod bind;
mod cache;
mod config;
mod core;
mod cycle;
pub mod framework;
mod metrics;
mod model;
pub mod plugins;
mod queue;
mod report;
mod run;
mod schedule;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watch;

pub use cache::Snapshot;
pub use config::{Config, Profile, SchedulerError};
pub use cycle::FitError;
pub use model::{
    Condition, Effect, HostPort, NodeAffinity, NodeFacts, NodeInfo, NonZero, PodInfo, PodSpecFacts, PodUid,
    Requirement, Resources, Taint, Term, Toleration, UsedPorts, tolerates,
};
pub use run::run;
