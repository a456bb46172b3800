//! One rule: operations, groups, versions, resources, scope, names. (`webhook/predicates/rules`)

use oarlock_api::GroupVersionResource;
use oarlock_apiserver_access::Operation;
use serde_json::Value;

use crate::facts::Facts;
use crate::value::{items, text, texts};

/// A list of names, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    Some(Vec<String>),
}

impl Names {
    fn of(value: &Value, field: &str) -> Self {
        let names = texts(value, &[field]);
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Some(names) }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.iter().any(|listed| listed == name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Namespaced,
    Cluster,
    /// Of a value that no validation lets through.
    None,
}

/// A `RuleWithOperations` or `NamedRuleWithOperations`, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    operations: u8,
    groups: Names,
    versions: Names,
    /// Resource and subresource, either may be `*`.
    resources: Vec<(String, String)>,
    scope: Scope,
    /// Empty: any.
    names: Vec<String>,
}

const fn bit(operation: Operation) -> u8 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Delete => 4,
        Operation::Connect => 8,
    }
}

impl Rule {
    pub(crate) fn of(value: &Value) -> Self {
        let operations = items(value, &["operations"]).iter().filter_map(Value::as_str);
        let resources = items(value, &["resources"]).iter().filter_map(Value::as_str).map(|both| {
            let (resource, subresource) = both.split_once('/').unwrap_or((both, ""));
            (resource.to_string(), subresource.to_string())
        });
        Self {
            operations: operations.fold(0, |bits, operation| {
                bits | match operation {
                    "*" => 15,
                    "CREATE" => bit(Operation::Create),
                    "UPDATE" => bit(Operation::Update),
                    "DELETE" => bit(Operation::Delete),
                    "CONNECT" => bit(Operation::Connect),
                    _ => 0,
                }
            }),
            groups: Names::of(value, "apiGroups"),
            versions: Names::of(value, "apiVersions"),
            resources: resources.collect(),
            scope: match text(value, &["scope"]) {
                "" | "*" => Scope::All,
                "Namespaced" => Scope::Namespaced,
                "Cluster" => Scope::Cluster,
                _ => Scope::None,
            },
            names: texts(value, &["resourceNames"]),
        }
    }

    /// Whether the rule means the request, seen as one for `resource`.
    pub(crate) fn matches(&self, facts: &Facts<'_>, resource: &GroupVersionResource) -> bool {
        self.operations & bit(facts.operation) != 0
            && self.groups.contain(&resource.group)
            && self.versions.contain(&resource.version)
            && self.resource(resource, facts.subresource)
            && self.scope(facts)
            && (self.names.is_empty() || self.names.iter().any(|name| *name == facts.name))
    }

    /// Whether the rule may mean the request in another group or version of its resource. Saves the look-up of those: the
    /// name of a resource is the same in all of them.
    pub(crate) fn may_match(&self, facts: &Facts<'_>) -> bool {
        self.operations & bit(facts.operation) != 0
            && self.resource(facts.resource, facts.subresource)
            && self.scope(facts)
    }

    fn resource(&self, resource: &GroupVersionResource, subresource: &str) -> bool {
        self.resources
            .iter()
            .any(|(r, s)| (r == "*" || **r == *resource.resource) && (s == "*" || s == subresource))
    }

    fn scope(&self, facts: &Facts<'_>) -> bool {
        let cluster = facts.is_namespace() || facts.namespace.is_empty();
        match self.scope {
            Scope::All => true,
            Scope::Namespaced => !cluster,
            Scope::Cluster => cluster,
            Scope::None => false,
        }
    }
}
