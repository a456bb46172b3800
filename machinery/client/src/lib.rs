//! What a control loop stands on: shared informers, work queues, expectations, events, leader election.
//!
//! Everything goes through a [`kube::Client`] that the component was given; this crate neither builds clients nor
//! knows which component it serves. The way of the data: an [`Informer`] lists and watches one resource into a
//! [`Store`] and tells its handlers of each [`Change`]; a handler adds a key to a [`WorkQueue`]; [`run_workers`] hands
//! the key to a reconcile, which reads the stores and writes through the client.

pub mod conditions;
mod events;
mod expectations;
mod helpers;
mod informer;
mod leader;
mod metrics;
mod queue;
pub mod testing;

pub use events::{EventRecorder, EventType};
pub use expectations::Expectations;
pub use helpers::{
    controller_of, is_already_exists, is_conflict, is_forbidden, is_gone, is_namespace_terminating,
    is_not_found, object_ref, owner_reference, patch_status, update_with_retry_on_conflict,
};
pub use informer::{Change, Informer, Informers, ObjectKey, Selection, Store, Watched};
pub use leader::{LeaderElection, LeaderError, lead};
pub use metrics::register_metrics;
pub use queue::{Outcome, RateLimits, WorkQueue, run_workers};
