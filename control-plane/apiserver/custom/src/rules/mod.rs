//! `x-kubernetes-validations`: the rules of a schema, compiled once, and asked of objects.

mod cost;
mod evaluate;
mod kept;
mod program;
#[cfg(test)]
mod tests;
mod verdict;

use oarlock_api::structural::{JsonType, Structural};
use oarlock_api::{FieldErrors, Path};
use oarlock_cel::Decl;
use serde_json::Value;

use crate::correlate::Correlated;
pub(crate) use cost::cost_message;
pub(crate) use program::{Checked, check};

/// What all rules of one object may cost together.
pub(crate) const RUNTIME_BUDGET: u64 = oarlock_cel::RUNTIME_COST_BUDGET;

/// The rules of a schema: a tree with the nodes only that lead to rules.
#[derive(Debug)]
pub(crate) struct Rules(RuleNode);

#[derive(Debug, Default)]
struct RuleNode {
    kind: Option<JsonType>,
    /// For the keys of lists of type map; no children.
    list: Structural,
    rules: Vec<Checked>,
    items: Option<Box<RuleNode>>,
    properties: Vec<(String, RuleNode)>,
    additional: Option<Box<RuleNode>>,
}

/// What rules object to.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) errors: FieldErrors,
    /// Told as warnings: parts that did not change.
    pub(crate) forgiven: Vec<String>,
    /// Of the budget.
    pub(crate) left: u64,
}

impl Rules {
    /// None where a schema has no rules.
    pub(crate) fn compile(schema: &Structural) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        let decl = Decl::from_structural(schema, true);
        node(schema, decl.as_ref()).map(Self)
    }

    /// Asks all rules of a value. Without an old value, rules about transitions are not asked. `correlated` says what
    /// did not change: what is wrong there is forgiven.
    pub(crate) fn check(
        &self,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        correlated: Option<Correlated<'_>>,
        budget: u64,
    ) -> Answer {
        evaluate::run(&self.0, path, new, old, correlated, budget)
    }
}

fn has_rules(schema: &Structural) -> bool {
    !schema.rules.is_empty()
        || schema.properties.values().any(has_rules)
        || schema.additional_schema().is_some_and(has_rules)
        || schema.items.as_deref().is_some_and(has_rules)
}

fn node(schema: &Structural, decl: Option<&Decl>) -> Option<RuleNode> {
    if !has_rules(schema) {
        return None;
    }
    let mut node = RuleNode {
        kind: schema.kind,
        list: Structural {
            list_type: schema.list_type,
            list_map_keys: schema.list_map_keys.clone(),
            ..Default::default()
        },
        rules: decl.map(|decl| check(schema, decl)).unwrap_or_default(),
        ..RuleNode::default()
    };
    for (name, property) in &schema.properties {
        let below = child(property, decl.and_then(|decl| decl.field(name)));
        node.properties.extend(below.map(|below| (name.clone(), below)));
    }
    let element = decl.and_then(Decl::element);
    if let Some(values) = schema.additional_schema() {
        node.additional = child(values, element).map(Box::new);
    }
    if let Some(items) = &schema.items {
        node.items = child(items, element).map(Box::new);
    }
    Some(node)
}

/// Below what CEL does not see, types are declared anew.
fn child(schema: &Structural, decl: Option<&Decl>) -> Option<RuleNode> {
    match decl {
        Some(decl) => node(schema, Some(decl)),
        None => node(schema, Decl::from_structural(schema, schema.embedded).as_ref()),
    }
}
