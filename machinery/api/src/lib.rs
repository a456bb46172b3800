//! The Kubernetes API as data: the type table, and everything that is derived from it.
//!
//! Objects are dynamic trees ([`serde_json::Value`]) checked against the table; typed structs come from
//! `k8s-openapi`. Knows nothing of storage, requests or components.

pub mod apply;
pub mod codec;
pub mod conversion;
pub mod defaults;
pub mod dump;
pub mod field;
pub mod go;
pub mod gvk;
mod intern;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod table;
mod user;
pub mod value;

pub use field::{FieldError, FieldErrors, Path};
pub use gvk::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
pub use intern::intern;
pub use schema::Schema;
pub use status::Status;
pub use table::{Field, FieldKind, Resource, Table, Type, TypeId};
pub use user::User;
