//! networking.k8s.io and discovery.k8s.io.

use serde_json::{Map, Value};

use super::{Conditional, Constant};

pub(super) const CONSTANTS: &[Constant] = &[
    ("networking.v1.NetworkPolicyPort", "protocol", r#""TCP""#),
    ("networking.v1.IngressClassParametersReference", "scope", r#""Cluster""#),
    ("discovery.v1.EndpointPort", "name", r#""""#),
    ("discovery.v1.EndpointPort", "protocol", r#""TCP""#),
];

pub(super) const CONDITIONALS: &[Conditional] = &[("networking.v1.NetworkPolicySpec", policy_types)];

/// A policy is about ingress, and about egress where it has such rules.
fn policy_types(spec: &mut Map<String, Value>) {
    let empty = |value: Option<&Value>| value.and_then(Value::as_array).is_none_or(Vec::is_empty);
    if empty(spec.get("policyTypes")) {
        let mut types = vec![Value::from("Ingress")];
        if !empty(spec.get("egress")) {
            types.push("Egress".into());
        }
        spec.insert("policyTypes".to_string(), Value::Array(types));
    }
}
