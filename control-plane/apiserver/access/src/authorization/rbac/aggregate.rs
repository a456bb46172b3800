//! ClusterRoles made of others: the union of the rules of all that the aggregationRule selects.

use std::sync::Arc;

use oarlock_api::selector::LabelSelector;
use serde_json::Value;

use crate::value::{at, items, name};

/// The rules that an aggregated ClusterRole should have now; `None` where it has them, or does not aggregate. A selector
/// that cannot be read selects nothing.
pub fn aggregate(role: &Value, cluster_roles: &[Arc<Value>]) -> Option<Vec<Value>> {
    at(role, &["aggregationRule"]).filter(|rule| !rule.is_null())?;
    let mut others: Vec<&Arc<Value>> =
        cluster_roles.iter().filter(|other| name(other) != name(role)).collect();
    others.sort_by(|a, b| name(a).cmp(name(b)));
    let mut rules: Vec<Value> = Vec::new();
    for selector in items(role, &["aggregationRule", "clusterRoleSelectors"]) {
        let Ok(selector) = LabelSelector::from_value(selector) else { continue };
        for other in others.iter().filter(|other| selector.matches_object(other)) {
            for rule in items(other, &["rules"]) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    (rules != items(role, &["rules"])).then_some(rules)
}
