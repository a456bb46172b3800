//! A CRI v1 container runtime: images, pods and containers, in the agent's process and one small shim per pod.
//!
//! [`run`] serves CRI on a Unix socket. The binary must give its hidden subcommand `shim` to [`shim_main`] and `pause`
//! to [`pause_main`] before it starts any thread. Containers go on when the runtime stops; the next one finds them.

mod cgroup;
mod disk;
pub mod images;
mod import;
mod oci;
mod runtime;
mod sandbox;
mod server;
mod shim;
mod streaming;

pub use import::{ImportError, import_archive};
pub use server::{Config, Error, run};
pub use shim::{pause_main, shim_main};
