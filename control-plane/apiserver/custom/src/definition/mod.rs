//! CustomResourceDefinitions themselves: their strategy and validation.

mod conversion;
mod defaults;
mod expressions;
mod fieldpath;
mod layout;
mod parts;
mod rules;
mod schema;
mod spec;
mod standard;
mod strategy;
#[cfg(test)]
mod tests;
mod topology;
mod update;

pub(crate) use conversion::is_ca_bundle;
pub(crate) use fieldpath::valid_path;
pub use strategy::definition_strategy;
