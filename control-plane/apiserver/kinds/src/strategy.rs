//! What a kind adds to the generic registry. Everything has a default that is right for a plain kind, so a strategy
//! holds only what is particular. A custom resource is a strategy too.

use std::sync::Arc;

use jiff::Timestamp;
use oarlock_api::{FieldErrors, User};
use serde_json::Value;

/// Facts about the request and the clock that a strategy may use.
pub struct Context<'a> {
    pub now: Timestamp,
    pub user: &'a User,
    pub namespace: &'a str,
    /// `""`, `"status"`, `"scale"`, …
    pub subresource: &'a str,
    /// The version of the request: `v1`, `apps/v1`. Objects are in the version that they are stored in.
    pub api_version: &'a str,
}

/// How a DELETE of this object proceeds. (`rest.RESTGracefulDeleteStrategy`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GracefulDelete {
    /// No grace: finalizers alone hold it.
    Immediate,
    /// The object stays with a deletionTimestamp until its agent deletes it with zero grace.
    Grace { seconds: i64 },
}

/// One selectable field: `("spec.nodeName", "node-1")`.
pub type SelectableField = (&'static str, String);

pub trait Strategy: Send + Sync {
    /// Clears what a client must not set (status, where the kind has one) and sets what the server does. The generic
    /// registry has set metadata (uid, creationTimestamp, generation 1 where the kind counts generations) before.
    fn prepare_for_create(&self, _context: &Context<'_>, _object: &mut Value) {}

    /// Main resource and subresources (see `context.subresource`): carries over from `old` what this endpoint may not change. For a kind
    /// with a status subresource the registry itself keeps the status (or, on `/status`, everything but it).
    fn prepare_for_update(&self, _context: &Context<'_>, _new: &mut Value, _old: &Value) {}

    /// Deletion is asked for: the stored object before it is decided whether it goes at once. A finalizer that is added
    /// here holds it.
    fn prepare_for_delete(&self, _object: &mut Value, _now: Timestamp) {}

    /// Object metadata has been validated before.
    fn validate_create(&self, _context: &Context<'_>, _object: &Value) -> FieldErrors {
        FieldErrors::new()
    }

    fn validate_update(&self, _context: &Context<'_>, _new: &Value, _old: &Value) -> FieldErrors {
        FieldErrors::new()
    }

    /// Texts for `Warning:` headers.
    fn warnings(&self, _context: &Context<'_>, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Last touch before storing, after validation (normalisation).
    fn canonicalize(&self, _object: &mut Value) {}

    /// Whether metadata.generation grows from `old` to `new`. Default: anything outside metadata and status differs.
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        crate::kind::content_differs(new, old)
    }

    /// Whether objects of this kind carry metadata.generation at all.
    fn has_generation(&self) -> bool {
        false
    }

    /// A new object keeps the status that its client sends: a node registers with its conditions.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// PUT of a name that does not exist creates it.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// PUT without a resourceVersion overwrites.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// `grace` is what the client or the object asks for.
    fn graceful_delete(&self, _object: &Value, _grace: Option<i64>) -> GracefulDelete {
        GracefulDelete::Immediate
    }

    /// Upstream's default is Background; Orphan for a few old kinds.
    fn default_propagation(&self) -> &'static str {
        "Background"
    }

    /// Beyond metadata.name and metadata.namespace.
    fn selectable_fields(&self, _object: &Value) -> Vec<SelectableField> {
        Vec::new()
    }

    /// As [`Strategy::selectable_fields`], of a kind whose fields are named at run time.
    fn named_fields(&self, _object: &Value) -> Vec<(Arc<str>, String)> {
        Vec::new()
    }

    /// The cells of `kubectl get`, one for each of the resource's table columns, in their order.
    /// `None`: the default columns Name and Created At/Age.
    fn table_cells(&self, _object: &Value, _now: Timestamp) -> Option<Vec<Value>> {
        None
    }
}
