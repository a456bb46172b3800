//! One file per subcommand, or per family of them.

pub(crate) mod agent;
pub(crate) mod components;
pub(crate) mod datastore;
pub(crate) mod down;
pub(crate) mod image;
pub(crate) mod kubeconfig;
mod lock;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod up;
