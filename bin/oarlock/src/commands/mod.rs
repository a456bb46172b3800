//! One file per subcommand, or per family of them.

pub mod agent;
pub mod components;
pub mod down;
pub mod image;
pub mod kubeconfig;
mod lock;
pub mod server;
pub mod status;
pub mod up;
pub mod version;
