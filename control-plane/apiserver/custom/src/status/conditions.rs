//! Conditions of a definition.

use jiff::Timestamp;
use oarlock_api::meta::print_time;
use serde_json::{Value, json};

use crate::value::text;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn list(crd: &mut Value) -> &mut Vec<Value> {
    if !crd["status"].is_object() {
        crd["status"] = json!({});
    }
    let slot = &mut crd["status"]["conditions"];
    if !slot.is_array() {
        *slot = json!([]);
    }
    slot.as_array_mut().expect("it was made a list above")
}

/// Adds or changes a condition; its time moves with its status only.
pub(super) fn set(crd: &mut Value, condition: Condition, now: Timestamp) {
    let Condition { kind, status, reason, message } = condition;
    let all = list(crd);
    let Some(found) = all.iter_mut().find(|found| text(&found["type"]) == kind) else {
        all.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": print_time(now),
        }));
        return;
    };
    if text(&found["status"]) != status || text(&found["lastTransitionTime"]).is_empty() {
        found["lastTransitionTime"] = print_time(now).into();
    }
    found["status"] = status.into();
    found["reason"] = reason.into();
    found["message"] = message.into();
}

pub(super) fn remove(crd: &mut Value, kind: &str) {
    if crd["status"]["conditions"].is_array() {
        list(crd).retain(|found| text(&found["type"]) != kind);
    }
}
