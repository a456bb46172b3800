//! Priority and fairness: which request is served now, which waits, and which is turned away.
//!
//! A request is classified by FlowSchemas (`compile`, `matching`) into a flow of a priority level. A level has seats
//! (`limits` shares them out, and lends them by `demand`), and queues where its seats are taken (`queues`, the pure core of
//! fair queuing; `shard` spreads flows over them). [`Flow`] puts it together: [`Flow::classify`], then
//! [`Classified::admit`], which gives a [`Permit`] to hold while the request is served.
//!
//! Knows nothing of HTTP. What requests cost is estimated in [`Work`].

mod bootstrap;
mod compile;
mod demand;
mod dump;
mod estimate;
mod flow;
mod level;
mod limits;
mod matching;
mod metrics;
mod queues;
mod retry;
mod shard;

pub use bootstrap::{Maintenance, dangling, maintain};
pub use compile::{FLOW_SCHEMAS, PRIORITY_LEVELS};
pub use estimate::{ListShape, Work, list_work, list_work_by_size, mutating_work};
pub use flow::{Classified, Flow, Options};
pub use level::{Permit, RejectReason, Rejection};
pub use matching::Digest;
pub use metrics::Metrics;
