//! CustomResourceDefinitions: the definition compiled (schema, strategy, columns, scale, conversion), its own validation,
//! and the plans of its controllers.
//!
//! No IO: the server watches definitions, calls a plan, and writes what comes out. Only conversion waits for anybody, through
//! [`ConversionWebhook`]. Knows nothing of routes, caches or the store.
//!
//! [`compile`] makes a [`CustomResource`] of each definition that changed: cheap, for schemas stay packed until somebody uses
//! them. It is served while it is `established`, and takes no new objects while it is `terminating`. An object then goes
//!
//! 1. through [`CustomVersion::intake`] of the request's version: common form of the metadata, pruning, embedded objects,
//!    defaults; what was unknown comes back for `fieldValidation`,
//! 2. through the version's [`strategy`](CustomVersion::strategy), in the version of the *request*, the old object converted
//!    to it ([`convert`]: one call of the webhook for a whole batch),
//! 3. to the storage version, and back through [`CustomVersion::from_store`], which never fails.
//!
//! The definition itself has [`definition_strategy`]. Its status is planned by [`plan_status`] (names, conditions), its end by
//! [`begin_cleanup`] and [`after_cleanup`]; `None` says that there is nothing to write.
//!
//! ```
//! # use serde_json::json;
//! use oarlock_apiserver_custom::compile;
//!
//! let resource = compile(&json!({
//!     "metadata": {"name": "crontabs.stable.example.com"},
//!     "spec": {
//!         "group": "stable.example.com", "scope": "Namespaced",
//!         "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
//!         "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
//!             "type": "object",
//!             "properties": {"spec": {"type": "object", "properties": {
//!                 "replicas": {"type": "integer", "default": 1},
//!             }}},
//!         }}}],
//!     },
//! }))?;
//! let mut object = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "spec": {"replica": 3}});
//! let unknown = resource.storage_version().intake(&mut object)?;
//! assert_eq!(unknown, [r#"unknown field "spec.replica""#]);
//! assert_eq!(object["spec"], json!({"replicas": 1}));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod columns;
mod compile;
mod convert;
mod correlate;
mod definition;
mod embedded;
mod jsonpath;
mod names;
mod openapi;
mod order;
mod rules;
mod scale;
mod source;
mod status;
mod strategy;
mod validate;
mod value;

pub use columns::Column;
pub use compile::{CompileError, CustomResource, CustomVersion, IntakeError, Names, Selectable, compile};
pub use convert::{Conversion, ConversionWebhook, convert};
pub use definition::definition_strategy;
pub use jsonpath::{JsonPath, PathError};
pub use order::compare as compare_versions;
pub use scale::Scale;
pub use status::{
    CLEANUP_FINALIZER, Cleanup, after_cleanup, begin_cleanup, needs_cleanup, plan_status, waits_for_names,
};
