//! A definition goes when the objects it defines are gone.

use jiff::Timestamp;
use oarlock_api::meta;
use serde_json::Value;

use super::conditions::{Condition, set};
use crate::value::condition_is_true;

/// A definition gets it when its deletion is asked for.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How the deletion of the instances went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleanup {
    /// None are left.
    Done,
    /// They could not be listed.
    ListFailed(String),
    /// Some could not be deleted.
    DeleteFailed(Vec<String>),
    /// Some are still there after a while: their finalizers hold them.
    Remain(String),
    /// Its resource is one of the server's own: its instances are not the definition's.
    Builtin,
    /// It was never established: there is nothing to delete.
    NeverEstablished,
}

/// Holds a definition whose deletion is asked for, and tells that it is.
pub(crate) fn mark_deleted(crd: &mut Value, now: Timestamp) {
    meta::add_finalizer(crd, CLEANUP_FINALIZER);
    let message =
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon".into();
    set(crd, terminating("True", "InstanceDeletionPending", message), now);
}

/// Whether its instances are to be deleted now.
pub fn needs_cleanup(crd: &Value) -> bool {
    meta::is_deleting(crd) && meta::finalizers(crd).any(|finalizer| finalizer == CLEANUP_FINALIZER)
}

/// The definition while its instances are being deleted, where that is not told yet. Delete them only if it is
/// `Established`; else pass [`Cleanup::NeverEstablished`] to [`after_cleanup`].
pub fn begin_cleanup(crd: &Value, now: Timestamp) -> Option<Value> {
    let mut new = crd.clone();
    let message = "CustomResource deletion is in progress".into();
    set(&mut new, terminating("True", "InstanceDeletionInProgress", message), now);
    (new != *crd).then_some(new)
}

/// The definition after its instances were deleted (without its finalizer) or could not be.
pub fn after_cleanup(crd: &Value, outcome: &Cleanup, now: Timestamp) -> Value {
    let mut new = crd.clone();
    let condition = match outcome {
        Cleanup::Done => terminating("False", "InstanceDeletionCompleted", "removed all instances".into()),
        Cleanup::ListFailed(why) => {
            terminating("True", "InstanceDeletionFailed", format!("could not list instances: {why}"))
        }
        Cleanup::DeleteFailed(why) => {
            let told = if let [one] = why.as_slice() { one.clone() } else { format!("[{}]", why.join(", ")) };
            terminating("True", "InstanceDeletionFailed", format!("could not issue all deletes: {told}"))
        }
        Cleanup::Remain(why) => {
            let told = format!("could not confirm zero CustomResources remaining: {why}");
            terminating("True", "InstanceDeletionCheck", told)
        }
        Cleanup::Builtin => {
            let told = "instances overlap with built-in resources in storage";
            terminating("False", "OverlappingBuiltInResource", told.into())
        }
        Cleanup::NeverEstablished => {
            terminating("False", "NeverEstablished", "resource was never established".into())
        }
    };
    set(&mut new, condition, now);
    if !condition_is_true(&new, "Terminating") {
        meta::remove_finalizer(&mut new, CLEANUP_FINALIZER);
    }
    new
}

fn terminating(status: &'static str, reason: &'static str, message: String) -> Condition {
    Condition { kind: "Terminating", status, reason, message }
}
