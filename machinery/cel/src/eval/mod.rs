//! The evaluator: a checked expression made into operations once, and those run as often as needed.

mod fold;
mod meter;
mod plan;
mod run;

pub(crate) use meter::{BYTES_MAX, Meter};
pub(crate) use plan::{Plan, plan};
pub(crate) use run::run;
