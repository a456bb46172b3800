//! A pod's status: made from what the runtime says (pure), and written to the API once per change.

mod conditions;
mod containers;
mod generate;
mod writer;

pub(crate) use generate::{Facts, Verdict, generate};
pub(crate) use writer::StatusWriter;
