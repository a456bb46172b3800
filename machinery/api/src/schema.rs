//! What is known of the shape of an object: a type of the table, the schema of a custom resource, or nothing.

use std::sync::Arc;

use crate::structural::Structural;
use crate::table::TypeId;

/// The shape of the objects of one kind in one version. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Schema {
    /// A type of [`Table::builtin`](crate::Table::builtin).
    Typed(TypeId),
    /// A custom resource. Its `apiVersion`, `kind` and `metadata` are those of any object, whatever the schema says.
    Structural(Arc<Structural>),
    /// Nothing is known: lists are atomic, maps are granular.
    Deduced,
}
