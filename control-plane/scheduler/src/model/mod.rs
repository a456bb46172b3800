//! What the scheduler knows of pods and nodes: parsed once from the watch into integers and compiled selectors, so
//! that a decision reads no strings it need not. Knows nothing of queues, plugins or the API client.

mod node;
mod pod;
mod ports;
mod resources;
mod selector;
mod taints;

pub use node::{NodeFacts, NodeInfo};
pub use pod::{Condition, PodInfo, PodSpecFacts, PodUid};
pub use ports::{HostPort, UsedPorts};
pub use resources::{NonZero, Resources};
pub use selector::{NodeAffinity, Requirement, Term};
pub use taints::{Effect, Taint, Toleration, tolerates};
