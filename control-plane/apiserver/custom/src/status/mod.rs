//! The controllers of CustomResourceDefinitions as plans: they take a definition and all others and say what its status
//! should be. No IO, no clock but the one given. (`apiextensions-apiserver/pkg/controller`)

mod approval;
mod conditions;
mod finalizer;
mod naming;
mod structure;
pub(crate) use structure::aggregate;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use finalizer::mark_deleted;
pub use finalizer::{CLEANUP_FINALIZER, Cleanup, after_cleanup, begin_cleanup, needs_cleanup};
pub use naming::waits_for_names;

pub(crate) use approval::{ANNOTATION, Approval, is_protected, state as approval_state};
use conditions::set;

/// The status that a definition should have, where it has another. `all` are the definitions that exist, itself among
/// them or not; they are looked at only where names are asked for. Cheap where there is nothing to do.
pub fn plan_status<'c>(
    crd: &Value,
    all: impl IntoIterator<Item = &'c Value>,
    now: Timestamp,
) -> Option<Value> {
    let mut new = without_schemas(crd);
    if let Some(condition) = approval::condition(&new) {
        set(&mut new, condition, now);
    }
    if naming::asks(crd) {
        naming::accept(&mut new, &naming::Taken::by_others(crd, all), now);
    }
    establish(&mut new, now);
    match structure::condition(crd) {
        Some(condition) => set(&mut new, condition, now),
        None => conditions::remove(&mut new, structure::NON_STRUCTURAL),
    }
    (new["status"] != crd["status"]).then(|| new["status"].take())
}

/// What the plans read and write of a definition: not its versions, which are large.
fn without_schemas(crd: &Value) -> Value {
    let spec = &crd["spec"];
    let status = if crd["status"].is_object() { crd["status"].clone() } else { json!({}) };
    json!({
        "metadata": {"name": crd["metadata"]["name"], "annotations": crd["metadata"]["annotations"]},
        "spec": {"group": spec["group"], "names": spec["names"], "conversion": spec["conversion"]},
        "status": status,
    })
}

/// Names come first; then requests are answered.
fn establish(crd: &mut Value, now: Timestamp) {
    let is_true = |kind: &str| crate::value::condition_is_true(crd, kind);
    if !is_true("NamesAccepted") || is_true("Established") {
        return;
    }
    let bundle = &crd["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"];
    let condition = if bundle.as_str().is_some_and(|bundle| !crate::definition::is_ca_bundle(bundle)) {
        conditions::Condition {
            kind: "Established",
            status: "False",
            reason: "InvalidCABundle",
            message: "The conversion webhook CABundle is invalid".into(),
        }
    } else {
        conditions::Condition {
            kind: "Established",
            status: "True",
            reason: "InitialNamesAccepted",
            message: "the initial names have been accepted".into(),
        }
    };
    set(crd, condition, now);
}
