//! Scopes: to which objects a quota is held.

use oarlock_api::value::{items, text, texts};
use serde_json::Value;

/// A scope that a quota, or a limit of the configuration, is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub scope: String,
    pub operator: String,
    pub values: Vec<String>,
}

impl Selector {
    /// A `ScopedResourceSelectorRequirement`.
    pub fn read(value: &Value) -> Self {
        let of = |field: &str| text(value, &[field]).to_string();
        Self { scope: of("scopeName"), operator: of("operator"), values: texts(value, &["values"]) }
    }

    /// All that a quota's `spec` names: a plain scope is one that must be there.
    pub fn all_of(spec: &Value) -> Vec<Self> {
        let exists = |scope: String| Self { scope, operator: "Exists".into(), values: Vec::new() };
        let plain = texts(spec, &["scopes"]).into_iter().map(exists);
        plain.chain(items(spec, &["scopeSelector", "matchExpressions"]).iter().map(Self::read)).collect()
    }

    /// As a label selector over the values that the thing has.
    pub fn selects(&self, has: &[&str]) -> bool {
        let among = |value: &&str| self.values.iter().any(|wanted| wanted == value);
        match self.operator.as_str() {
            "Exists" => !has.is_empty(),
            "DoesNotExist" => has.is_empty(),
            "In" => has.iter().any(among),
            "NotIn" => has.is_empty() || has.iter().any(|value| !among(value)),
            _ => false,
        }
    }
}
