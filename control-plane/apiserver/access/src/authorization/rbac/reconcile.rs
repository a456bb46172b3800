//! The bootstrap roles and bindings at every start: what is missing is put back, what people added is kept, and what
//! they protected (`rbac.authorization.kubernetes.io/autoupdate: "false"`) is not touched. Pure.

use serde_json::{Value, json};

use super::cover::missing;
use super::rule::Rule;
use crate::value::{annotation, items, list_mut, map_mut};

const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// How a binding is brought to what is expected.
#[derive(Debug, Clone, PartialEq)]
pub enum BindingAction {
    /// Create it, or update it in place.
    Write(Value),
    /// A roleRef cannot change: delete the binding, then create this.
    Recreate(Value),
}

/// The role (of either kind) to create or update; `None` where nothing is to be done.
pub fn reconcile_role(existing: Option<&Value>, expected: &Value) -> Option<Value> {
    let Some(existing) = existing else { return Some(expected.clone()) };
    if is_protected(existing) {
        return None;
    }
    let mut role = existing.clone();
    let mut changed = add_metadata(&mut role, expected);
    if expected["aggregationRule"].is_null() {
        let parsed =
            |role: &Value| -> Vec<Rule> { items(role, &["rules"]).iter().map(Rule::from_value).collect() };
        let lacking = missing(&parsed(existing), &parsed(expected));
        changed |= !lacking.is_empty();
        if !lacking.is_empty() {
            list_mut(&mut role, "rules").extend(lacking.iter().map(Rule::to_value));
        }
    } else {
        let field = "clusterRoleSelectors";
        let wanted = items(expected, &["aggregationRule", field]);
        changed |= add_items(&mut role, "aggregationRule", field, wanted);
    }
    changed.then_some(role)
}

/// The binding (of either kind) to write.
pub fn reconcile_binding(existing: Option<&Value>, expected: &Value) -> Option<BindingAction> {
    let Some(existing) = existing else { return Some(BindingAction::Write(expected.clone())) };
    if is_protected(existing) {
        return None;
    }
    if existing["roleRef"] != expected["roleRef"] {
        let mut fresh = expected.clone();
        keep_metadata(&mut fresh, existing);
        return Some(BindingAction::Recreate(fresh));
    }
    let mut binding = existing.clone();
    let mut changed = add_metadata(&mut binding, expected);
    let lacking: Vec<&Value> = items(expected, &["subjects"])
        .iter()
        .filter(|s| !items(existing, &["subjects"]).contains(s))
        .collect();
    if !lacking.is_empty() {
        changed = true;
        list_mut(&mut binding, "subjects").extend(lacking.into_iter().cloned());
    }
    changed.then_some(BindingAction::Write(binding))
}

fn is_protected(object: &Value) -> bool {
    annotation(object, AUTO_UPDATE) == Some("false")
}

/// Labels and annotations that are expected and not there; what is there stays as it is.
fn add_metadata(object: &mut Value, expected: &Value) -> bool {
    let mut changed = false;
    for field in ["labels", "annotations"] {
        let Some(wanted) = expected["metadata"][field].as_object() else { continue };
        for (key, value) in wanted {
            let have = object["metadata"][field].as_object().is_some_and(|have| have.contains_key(key));
            if !have {
                map_mut(&mut object["metadata"], field).insert(key.clone(), value.clone());
                changed = true;
            }
        }
    }
    changed
}

fn keep_metadata(fresh: &mut Value, existing: &Value) {
    for field in ["labels", "annotations"] {
        let Some(kept) = existing["metadata"][field].as_object() else { continue };
        map_mut(&mut fresh["metadata"], field).extend(kept.clone());
    }
}

fn add_items(object: &mut Value, parent: &str, field: &str, wanted: &[Value]) -> bool {
    let lacking: Vec<Value> =
        wanted.iter().filter(|item| !items(object, &[parent, field]).contains(item)).cloned().collect();
    if lacking.is_empty() {
        return false;
    }
    if !object[parent].is_object() {
        object[parent] = json!({});
    }
    list_mut(&mut object[parent], field).extend(lacking);
    true
}
