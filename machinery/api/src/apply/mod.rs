//! Server-side apply (KEP-555): who owns which fields of an object, and merging what they apply.
//!
//! Pure: objects, a schema and a time go in, an object with its `managedFields` comes out. Objects are whole, in normal form,
//! defaulted, and in the version of the request. Knows nothing of requests and stores.
//!
//! - [`track`] is for create, update and the other patches: after decoding and defaulting, before admission, in each round
//!   of an update's loop. Hand it the new object with the `managedFields` that it came with: then they are moved, not copied.
//! - [`apply`] is for `application/apply-patch+yaml`. The configuration goes in as it was sent, undecoded, so that an unknown
//!   field is told in the words of apply; what comes out is decoded and defaulted as a new object is.
//! - [`keep_times`] comes last, before the store compares bytes: a write that changes only times is none.
//! - [`scale_entries`] and [`parent_entries`] carry ownership between an object and its Scale; [`merge_unowned`] is the
//!   `ApplyConfiguration` of admission policies; [`validate_managed`] and [`validate_manager`] belong to validation.
//!
//! An object with a uid and without entries stays untracked until somebody applies; `managedFields: []` in a request forgets all
//! owners. Entries that cannot be read are ignored by an update and fail an apply, as upstream's.
//!
//! ```
//! # use oarlock_api::apply::{OneVersion, Request, Reset, apply, track};
//! # use oarlock_api::{Schema, Table};
//! # use serde_json::json;
//! # let schema = Schema::Typed(Table::builtin().type_of("", "v1", "ConfigMap").expect("it is built in"));
//! let request = |manager| Request {
//!     schema: &schema, api_version: "v1", kind: "ConfigMap", manager, subresource: "",
//!     reset: &Reset::Nothing, versions: &OneVersion, now: jiff::Timestamp::UNIX_EPOCH,
//! };
//! let mut live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}});
//! track(&request("editor"), None, &mut live);
//!
//! let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "2"}});
//! let refused = apply(&request("gitops"), Some(&live), &config, false).unwrap_err();
//! assert_eq!(refused.to_string(), r#"Apply failed with 1 conflict: conflict with "editor" using v1: .data.a"#);
//! let applied = apply(&request("gitops"), Some(&live), &config, true)?;
//! assert_eq!(applied.object["data"]["a"], "2");
//! # Ok::<(), oarlock_api::apply::ApplyError>(())
//! ```

mod codec;
mod compare;
mod configuration;
mod conflict;
mod element;
mod fields;
mod helpers;
mod in_place;
mod items;
mod last_applied;
mod managed;
mod merge;
mod names;
mod node;
mod prune;
mod remove;
mod reset;
mod scale;
mod settle;
mod track;
mod validate;

pub use codec::FieldsError;
pub use configuration::{Applied, apply};
pub use conflict::{ApplyError, Conflicts};
pub use element::{Element, ElementError};
pub use fields::FieldSet;
pub use helpers::{MergeError, extract, merge_unowned, other_versions};
pub use last_applied::LAST_APPLIED;
pub use managed::{
    ANCIENT, ManagedError, Manager, Operation, Owner, Owners, UPDATERS_MAX, decode, encode, validate_managed,
};
pub use names::{MANAGER_BYTES_MAX, manager_or_user_agent, validate_manager};
pub use reset::Reset;
pub use scale::{ReplicasPaths, parent_entries, scale_entries};
pub use settle::{OneVersion, Request, VersionError, Versions};
pub use track::{keep_times, track};

#[cfg(test)]
mod tests;
