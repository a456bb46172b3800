//! What is asked for, as a SubjectAccessReviewSpec: what webhooks are sent, and what their match conditions see.

use oarlock_api::selector::{FieldSelector, LabelOperator, LabelSelector};
use serde_json::{Map, Value, json};

use crate::types::Attributes;

/// Empty fields are left out, as on the wire.
pub(super) fn spec_of(asked: &Attributes) -> Value {
    let user = &asked.user;
    let mut spec = fields(&[("user", &user.name), ("uid", &user.uid)]);
    if !user.groups.is_empty() {
        spec.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        spec.insert("extra".into(), json!(user.extra));
    }
    if !asked.resource_request {
        let path = fields(&[("path", &asked.path), ("verb", &asked.verb)]);
        spec.insert("nonResourceAttributes".into(), path.into());
        return spec.into();
    }
    let mut resource = fields(&[
        ("namespace", &asked.namespace),
        ("verb", &asked.verb),
        ("group", &asked.group),
        ("version", &asked.version),
        ("resource", &asked.resource),
        ("subresource", &asked.subresource),
        ("name", &asked.name),
    ]);
    if let Some(selector) = asked.field_selector.as_deref().filter(|s| !s.is_everything()) {
        resource.insert("fieldSelector".into(), json!({"requirements": field_requirements(selector)}));
    }
    if let Some(selector) = asked.label_selector.as_deref().filter(|s| !s.is_everything()) {
        resource.insert("labelSelector".into(), json!({"requirements": label_requirements(selector)}));
    }
    spec.insert("resourceAttributes".into(), resource.into());
    spec.into()
}

fn fields(pairs: &[(&str, &String)]) -> Map<String, Value> {
    let told = pairs.iter().filter(|(_, text)| !text.is_empty());
    told.map(|(name, text)| ((*name).to_string(), Value::from(text.as_str()))).collect()
}

fn field_requirements(selector: &FieldSelector) -> Vec<Value> {
    let one = |requirement: &oarlock_api::selector::FieldRequirement| {
        let operator = if requirement.negated { "NotIn" } else { "In" };
        json!({"key": requirement.field, "operator": operator, "values": [requirement.value]})
    };
    selector.requirements().iter().map(one).collect()
}

/// What has no operator there (comparisons of numbers) is left out: that asks for more, and never allows more.
fn label_requirements(selector: &LabelSelector) -> Vec<Value> {
    let one = |requirement: &oarlock_api::selector::LabelRequirement| {
        let operator = match requirement.operator() {
            LabelOperator::Equals | LabelOperator::DoubleEquals | LabelOperator::In => "In",
            LabelOperator::NotEquals | LabelOperator::NotIn => "NotIn",
            LabelOperator::Exists => "Exists",
            LabelOperator::DoesNotExist => "DoesNotExist",
            LabelOperator::GreaterThan | LabelOperator::LessThan => return None,
        };
        let mut told = json!({"key": requirement.key(), "operator": operator});
        if !requirement.values().is_empty() {
            told["values"] = requirement.values().into();
        }
        Some(told)
    };
    selector.requirements().iter().filter_map(one).collect()
}
