//! Nodes.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{is_true, items, text, texts};
use crate::{check, names};

pub(crate) static NODE: Kind = Kind {
    validate,
    changes,
    keeps_status_on_create: true,
    fields: |node| vec![("spec.unschedulable", is_true(&node["spec"]["unschedulable"]).to_string())],
    cells: Some(super::cells::node),
    ..Kind::PLAIN
};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

fn validate(node: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&node["spec"], Path::new("spec"));
    let mut seen = HashSet::new();
    for (index, taint) in items(&spec["taints"]).iter().enumerate() {
        let at = path.child("taints").index(index);
        check::named(&taint["key"], names::qualified, &at.child("key"), errors);
        check::syntax(text(&taint["value"]), names::label_value, &at.child("value"), errors);
        check::must_be_one_of(&taint["effect"], &EFFECTS, &at.child("effect"), errors);
        if !seen.insert((text(&taint["key"]), text(&taint["effect"]))) {
            let words = FieldError::duplicate(at, taint.clone());
            errors.push(words);
        }
    }
    for (index, cidr) in texts(&spec["podCIDRs"]).enumerate() {
        check::syntax(cidr, names::cidr, &path.child("podCIDRs").index(index), errors);
    }
}

/// What identifies a node is set once.
fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return;
    }
    let path = Path::new("spec");
    let was = items(&old["spec"]["podCIDRs"]);
    if !was.is_empty() && was != items(&new["spec"]["podCIDRs"]) {
        let words = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(path.child("podCIDRs"), words));
    }
    let was = text(&old["spec"]["providerID"]);
    if !was.is_empty() && was != text(&new["spec"]["providerID"]) {
        let words = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(path.child("providerID"), words));
    }
}
