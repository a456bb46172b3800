//! Tolerations, gates and spreading.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::value::{int, items, text};
use crate::{check, names};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

pub(super) fn tolerations(list: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, toleration) in items(list).iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (text(&toleration["key"]), text(&toleration["operator"]));
        check::optional(&toleration["key"], names::qualified, &path.child("key"), errors);
        if key.is_empty() && operator != "Exists" {
            let words =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(path.child("operator"), operator, words));
        }
        if !toleration["tolerationSeconds"].is_null() && toleration["effect"] != "NoExecute" {
            let words = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(path.child("effect"), text(&toleration["effect"]), words));
        }
        match operator {
            "" | "Equal" => {
                check::syntax(text(&toleration["value"]), names::label_value, &path.child("operator"), errors)
            }
            "Exists" if !text(&toleration["value"]).is_empty() => {
                let words = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(path.child("operator"), toleration.clone(), words));
            }
            _ => {
                check::one_of(&toleration["operator"], &["Equal", "Exists"], &path.child("operator"), errors)
            }
        }
        check::one_of(&toleration["effect"], &EFFECTS, &path.child("effect"), errors);
    }
}

pub(super) fn gates(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let gates = items(&spec["schedulingGates"]);
    let mut seen = Seen::new();
    for (index, gate) in gates.iter().enumerate() {
        let at = path.child("schedulingGates").index(index);
        check::syntax(text(&gate["name"]), names::qualified, &at, errors);
        seen.add(text(&gate["name"]), &at, errors);
    }
    if !gates.is_empty() && !text(&spec["nodeName"]).is_empty() {
        let words = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(path.child("nodeName"), words));
    }
    for (index, gate) in items(&spec["readinessGates"]).iter().enumerate() {
        let at = path.child("readinessGates").index(index).child("conditionType");
        check::syntax(text(&gate["conditionType"]), names::qualified, &at, errors);
    }
}

pub(super) fn spread(list: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for (index, constraint) in items(list).iter().enumerate() {
        let path = path.index(index);
        check::at_least(
            &int(&constraint["maxSkew"]).into(),
            1,
            "must be greater than zero",
            &path.child("maxSkew"),
            errors,
        );
        let (key, action) = (text(&constraint["topologyKey"]), text(&constraint["whenUnsatisfiable"]));
        if key.is_empty() {
            errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
        } else {
            check::syntax(key, names::qualified, &path.child("topologyKey"), errors);
        }
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        if !supported.contains(&action) {
            errors.push(FieldError::not_supported(path.child("whenUnsatisfiable"), action, &supported));
        }
        if !seen.insert((key, action)) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(at, format!("{{{key}, {action}}}")));
        }
        let domains = path.child("minDomains");
        check::at_least(&constraint["minDomains"], 1, "must be greater than 0", &domains, errors);
        if !constraint["minDomains"].is_null() && action != "DoNotSchedule" {
            let words = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.push(FieldError::invalid(domains, constraint["minDomains"].clone(), words));
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            check::one_of(&constraint[field], &["Honor", "Ignore"], &path.child(field), errors);
        }
        check::selector(&constraint["labelSelector"], &path.child("labelSelector"), errors);
    }
}
