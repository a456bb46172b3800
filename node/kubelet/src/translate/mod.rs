//! From the API's words to CRI's: what sandboxes and containers are made from. Reads objects where the environment needs
//! them; decides nothing about when.

mod container;
mod dns;
mod hosts;
mod mounts;
mod resources;
mod sandbox;
mod security;

pub(crate) use container::{ConfigError, container_config};
pub(crate) use resources::{cpu_quota, cpu_shares};
pub(crate) use sandbox::sandbox_config;
