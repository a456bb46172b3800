//! The row of a binding.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{age, name_of};
use crate::value::{items, text};

pub(super) fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = &binding["roleRef"];
    let of_kind = |kind: &str| -> Value {
        let subjects = items(&binding["subjects"]).iter().filter(|s| s["kind"] == kind);
        let named = |subject: &Value| match kind {
            "ServiceAccount" => format!("{}/{}", text(&subject["namespace"]), text(&subject["name"])),
            _ => text(&subject["name"]).to_string(),
        };
        subjects.map(named).collect::<Vec<_>>().join(", ").into()
    };
    vec![
        name_of(binding),
        format!("{}/{}", text(&role["kind"]), text(&role["name"])).into(),
        age(binding, now),
        of_kind("User"),
        of_kind("Group"),
        of_kind("ServiceAccount"),
    ]
}
