//! RBAC, flow control, priority classes, custom resource definitions and aggregated APIs.

use serde_json::{Map, Value, json};

use super::{Conditional, Constant, ensure, set, text};

pub(super) const CONSTANTS: &[Constant] = &[
    ("rbac.v1.RoleRef", "apiGroup", r#""rbac.authorization.k8s.io""#),
    ("scheduling.v1.PriorityClass", "preemptionPolicy", r#""PreemptLowerPriority""#),
    ("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence", "1000"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares", "30"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "nominalConcurrencyShares", "0"),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.QueuingConfiguration", "queues", "64"),
    ("flowcontrol.v1.QueuingConfiguration", "handSize", "8"),
    ("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit", "50"),
    ("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference", "port", "443"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference", "port", "443"),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("rbac.v1.Subject", subject),
    ("flowcontrol.v1.PriorityLevelConfigurationSpec", priority_level),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec",
        custom_resource,
    ),
];

fn subject(subject: &mut Map<String, Value>) {
    if text(subject, "apiGroup").is_empty() && matches!(text(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".to_string(), "rbac.authorization.k8s.io".into());
    }
}

fn priority_level(spec: &mut Map<String, Value>) {
    if text(spec, "type") == "Exempt" {
        set(spec, "exempt", Map::new());
    }
}

fn custom_resource(spec: &mut Map<String, Value>) {
    if let Some(names) = ensure(spec, "names") {
        let kind = text(names, "kind").to_string();
        if !kind.is_empty() {
            if text(names, "singular").is_empty() {
                names.insert("singular".to_string(), kind.to_lowercase().into());
            }
            if text(names, "listKind").is_empty() {
                names.insert("listKind".to_string(), format!("{kind}List").into());
            }
        }
    }
    set(spec, "conversion", json!({"strategy": "None"}));
}
