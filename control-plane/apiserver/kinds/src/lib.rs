//! What each built-in kind adds to the generic registry: its strategy (preparation, validation, selectable fields, table
//! cells), one file per kind. Pure: no IO, no clock but the one it is given.

mod apps;
pub mod asked;
mod batch;
mod check;
mod cluster;
mod core;
mod index;
mod kind;
mod names;
mod networking;
mod podspec;
mod print;
mod rbac;
mod storage;
mod strategy;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use index::strategy_for;
pub use print::human_duration;
pub use strategy::{Context, GracefulDelete, SelectableField, Strategy};
