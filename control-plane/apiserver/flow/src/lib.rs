//! Priority and fairness: which request is served now, which waits, and which is turned away. (KEP-1040)
//!
//! A request is classified by FlowSchemas (`compile`, `matching`) into a flow of a priority level. A level has seats
//! (`limits` shares them out, and lends them by `demand`), and queues where its seats are taken (`queues`, the pure core of
//! fair queuing; `shard` spreads flows over them). [`Flow`] puts it together: [`Flow::classify`], then
//! [`Classified::admit`], which gives a [`Permit`] to hold while the request is served. Dropping it gives the seats back.
//!
//! Knows nothing of HTTP: what a request costs is its [`Work`], reckoned by the caller with [`list_work_by_size`] and
//! [`mutating_work`]. A watch holds its permit only until its first bytes are ready; what lasts by nature (exec, port-forward)
//! does not take part. Seats are lent by [`Flow::run`], which has no timer while nobody waits.
//!
//! ```no_run
//! # use oarlock_apiserver_flow::{Digest, Flow, Rejection, Work};
//! # async fn example(flow: &Flow, digest: &Digest<'_>) -> Result<(), Rejection> {
//! let flow = flow.classify(digest);                       // allocates nothing
//! let permit = flow.admit(digest, Work::ONE).await?;      // or 429, with seconds after which to try again
//! // … serve, and tell flow.flow_schema_uid() and flow.priority_level_uid() in the answer's head …
//! drop(permit);
//! # Ok(())
//! # }
//! ```
//!
//! The objects themselves are kept up by two plans: [`maintain`] (which of the bootstrap objects to create, update, delete) and
//! [`dangling`] (the condition of FlowSchemas whose level is not there).

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
