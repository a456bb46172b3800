//! What surrounds a pod's containers: its shim process and its network.

pub(crate) mod client;
pub(crate) mod cni;
pub(crate) mod files;
pub(crate) mod launch;
