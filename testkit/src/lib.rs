//! For tests only: clusters as a user would have them, and what is needed to look at them.
//!
//! A [`Cluster`] is the built binary in a network namespace and a directory of its own, so tests do not meet, neither with
//! each other nor with what else runs on the machine; dropping it takes everything away again, also after a panic.

mod cluster;
mod eventually;
mod http;
mod image;
mod netns;
mod output;
mod process;
mod reboot;

pub use cluster::{Cluster, Settings, kubectl_path};
pub use eventually::eventually;
pub use http::{Answer, Who};
pub use image::busybox_archive;
pub use netns::NetNs;
pub use output::Output;
pub use process::oarlock_path;
