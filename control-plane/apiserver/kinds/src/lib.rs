//! What each built-in kind adds to the generic registry: its strategy (preparation, validation, selectable fields, table
//! cells), one file per kind. Pure: no IO, no clock but the one it is given.

mod strategy;

pub use strategy::{Context, GracefulDelete, SelectableField, Strategy};

/// A kind without particulars.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a resource; a plain one where the kind adds nothing.
pub fn strategy_for(_resource: &oarlock_api::GroupResource) -> &'static dyn Strategy {
    &Plain
}
