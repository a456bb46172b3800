//! What each built-in kind adds to the generic registry: its [`Strategy`] (preparation, validation, warnings, selectable
//! fields, table cells), one file per kind. Pure: no IO, no clock but the one it is given.
//!
//! [`strategy_for`] finds it; objects are in the stored version and have gone through the type table. Validation of an update is
//! asked for subresources too (`Context::subresource`), warnings after the generation was set: who changes no template is
//! warned of nothing. Objects that are never stored (reviews, bindings, token requests) have no strategy: [`asked`] checks
//! them. Fields of features that are off in 1.36 are dropped as an object is prepared.
//!
//! ```
//! # use oarlock_api::GroupResource;
//! # use serde_json::json;
//! use oarlock_apiserver_kinds::{Context, strategy_for};
//!
//! let strategy = strategy_for(&GroupResource::new("", "configmaps"));
//! # let user = Default::default();
//! # let context = Context { subresource: "", namespace: "default", user: &user, now: jiff::Timestamp::UNIX_EPOCH, api_version: "v1" };
//! let faults = strategy.validate_create(&context, &json!({"data": {"no spaces": ""}}));
//! assert_eq!(faults.len(), 1);
//! ```

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
mod privileged;
mod rbac;
mod storage;
mod strategy;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use index::strategy_for;
pub use print::human_duration;
pub use privileged::privileged;
pub use strategy::{Context, GracefulDelete, SelectableField, Strategy};
