//! Tolerations, gates and spreading.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::value::{int, items, text};
use crate::{check, names};

pub(crate) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
const POSITIVE: &str = "must be greater than zero";

pub(crate) fn tolerations(list: &Value, path: &Path, errors: &mut FieldErrors) {
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
        let (value, at) = (text(&toleration["value"]), path.child("operator"));
        match operator {
            "" | "Equal" => {
                let faults = names::label_value(value);
                if !faults.is_empty() {
                    errors.push(FieldError::invalid(at, value, faults.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.push(FieldError::invalid(
                    at,
                    value,
                    "value must be empty when `operator` is 'Exists'",
                ));
            }
            _ => check::one_of(&toleration["operator"], &["Equal", "Exists"], &at, errors),
        }
        check::one_of(&toleration["effect"], &TAINT_EFFECTS, &path.child("effect"), errors);
    }
}

pub(super) fn gates(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, gate) in items(&spec["readinessGates"]).iter().enumerate() {
        let at = path.child("readinessGates").index(index).child("conditionType");
        check::syntax(text(&gate["conditionType"]), names::qualified, &at, errors);
    }
    let mut seen = Seen::new();
    for (index, gate) in items(&spec["schedulingGates"]).iter().enumerate() {
        let at = path.child("schedulingGates").index(index);
        check::syntax(text(&gate["name"]), names::qualified, &at, errors);
        seen.add(text(&gate["name"]), &at, errors);
    }
}

/// What no two constraints have in common.
fn pair(constraint: &Value) -> [&Value; 2] {
    [&constraint["topologyKey"], &constraint["whenUnsatisfiable"]]
}

pub(super) fn spread(list: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = items(list);
    // It is the first of two equal ones that is told of.
    let repeated: HashSet<usize> = check::repeats(list, pair)
        .into_iter()
        .filter_map(|again| list.iter().position(|first| pair(first) == pair(&list[again])))
        .collect();
    for (index, constraint) in list.iter().enumerate() {
        let path = path.index(index);
        check::at_least(&int(&constraint["maxSkew"]).into(), 1, POSITIVE, &path.child("maxSkew"), errors);
        let (key, action) = (text(&constraint["topologyKey"]), text(&constraint["whenUnsatisfiable"]));
        if key.is_empty() {
            errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
        }
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(path.child("whenUnsatisfiable"), action, &ACTIONS));
        }
        if repeated.contains(&index) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(at, format!("{{{key}, {action}}}")));
        }
        let domains = path.child("minDomains");
        check::at_least(&constraint["minDomains"], 1, POSITIVE, &domains, errors);
        if !constraint["minDomains"].is_null() && action != "DoNotSchedule" {
            let words = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.push(FieldError::invalid(domains, constraint["minDomains"].clone(), words));
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            check::given_one_of(&constraint[field], &["Honor", "Ignore"], &path.child(field), errors);
        }
        label_keys(constraint, "matchLabelKeys", &path, errors);
        check::selector(&constraint["labelSelector"], &path.child("labelSelector"), errors);
    }
}

pub(super) fn topology_key(key: &str, path: &Path, errors: &mut FieldErrors) {
    if key.is_empty() {
        errors.push(FieldError::required(path.clone(), "can not be empty"));
    }
    check::syntax(key, names::qualified, path, errors);
}

/// Keys whose values in the pod's own labels make the selector narrower.
pub(super) fn label_keys(holder: &Value, field: &str, path: &Path, errors: &mut FieldErrors) {
    let (keys, at) = (items(&holder[field]), path.child(field));
    if !keys.is_empty() && holder["labelSelector"].is_null() {
        let words = "must not be specified when labelSelector is not set";
        errors.push(FieldError::forbidden(at.clone(), words));
    }
    for (index, key) in keys.iter().enumerate() {
        check::syntax(text(key), names::qualified, &at.index(index), errors);
    }
}
