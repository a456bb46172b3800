//! The in-tree plugins, one a file, under upstream's names and with upstream's reasons.

mod balanced_allocation;
mod default_binder;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_unschedulable;
mod priority_sort;
mod resources_fit;
mod scheduling_gates;
mod taint_toleration;
#[cfg(test)]
mod tests;

pub use balanced_allocation::NodeResourcesBalancedAllocation;
pub use default_binder::DefaultBinder;
pub use node_affinity::NodeAffinityPlugin;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_unschedulable::NodeUnschedulable;
pub use priority_sort::PrioritySort;
pub use resources_fit::NodeResourcesFit;
pub use scheduling_gates::SchedulingGates;
pub use taint_toleration::TaintToleration;
