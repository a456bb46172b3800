//! What each built-in kind adds to the generic registry: its strategy (preparation, validation, selectable fields, table
//! cells), one file per kind. Pure: no IO, no clock but the one it is given.

mod strategy;

pub use strategy::{Context, GracefulDelete, SelectableField, Strategy};
