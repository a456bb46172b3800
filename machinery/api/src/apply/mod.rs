//! Server-side apply (KEP-555): who owns which fields of an object, and merging what they apply.
//!
//! Pure: objects, a schema and a time go in, an object with its `managedFields` comes out. [`track`] is for create, update
//! and the other patches, [`apply`] for `application/apply-patch+yaml`, [`keep_times`] undoes writes that change nothing.
//! Knows nothing of requests and stores. `WIRING.md` beside this file says who calls what when.

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
