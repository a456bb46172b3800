//! The expressions of a schema when a definition is written: they must compile, and may not be too dear.

use oarlock_api::structural::{Additional, JsonType, Structural};
use oarlock_api::{FieldError, FieldErrors, Path, dump};
use oarlock_cel::{Decl, STATIC_COST_LIMIT};
use serde_json::{Value, json};

use super::schema::Context;
use crate::rules::{Checked, check, cost_message};

/// For all rules of one definition together.
const TOTAL_MAX: u64 = 100_000_000;
/// So many of the dearest rules are named.
const NAMED_MAX: usize = 4;

/// A node of the schema as expressions see it.
pub(super) struct Scope<'s> {
    schema: &'s Structural,
    decl: Option<Decl>,
    /// How many values of it an object has at most; none where that is not bounded.
    cardinality: Option<u64>,
}

/// What all rules cost together.
#[derive(Default)]
pub(super) struct Budget {
    total: u64,
    dearest: Vec<(Path, u64)>,
}

impl Budget {
    fn add(&mut self, path: Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost < TOTAL_MAX / 100 {
            return;
        }
        self.dearest.push((path, cost));
        self.dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        self.dearest.truncate(NAMED_MAX);
    }

    pub(super) fn tell(&self, path: &Path, errors: &mut FieldErrors) {
        if self.total <= TOTAL_MAX {
            return;
        }
        let detail =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.extend(self.dearest.iter().map(|(path, _)| FieldError::forbidden(path.clone(), detail)));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path.clone(), cost_message(what, self.total, TOTAL_MAX)));
    }
}

/// How many values a node's children have for each of its own.
fn elements(schema: &Structural) -> Option<u64> {
    let limit =
        |name: &str| schema.validation.get(name).and_then(Value::as_i64).map(|n| n.max(0).unsigned_abs());
    match schema.kind {
        Some(JsonType::Object) if schema.additional != Additional::None => limit("maxProperties"),
        Some(JsonType::Array) => limit("maxItems"),
        _ => Some(1),
    }
}

impl<'s> Scope<'s> {
    pub(super) fn root(schema: &'s Structural) -> Self {
        Self { schema, decl: Decl::from_structural(schema, true), cardinality: Some(1) }
    }

    fn below(&self, schema: &'s Structural, decl: Option<&Decl>) -> Self {
        let decl = decl.cloned().or_else(|| Decl::from_structural(schema, schema.embedded));
        let cardinality = self.cardinality.zip(elements(self.schema)).map(|(a, b)| a.saturating_mul(b));
        Self { schema, decl, cardinality }
    }

    pub(super) fn property(&self, name: &str) -> Option<Self> {
        let decl = self.decl.as_ref().and_then(|decl| decl.field(name));
        Some(self.below(self.schema.properties.get(name)?, decl))
    }

    pub(super) fn items(&self) -> Option<Self> {
        Some(self.below(self.schema.items.as_deref()?, self.decl.as_ref().and_then(Decl::element)))
    }

    pub(super) fn values(&self) -> Option<Self> {
        Some(self.below(self.schema.additional_schema()?, self.decl.as_ref().and_then(Decl::element)))
    }

    /// Checks the rules of this node. `unchanged`: they may be as dear as they were.
    pub(super) fn check(
        &self,
        path: &Path,
        context: &Context,
        unchanged: bool,
        budget: &mut Budget,
        errors: &mut FieldErrors,
    ) {
        if self.schema.rules.is_empty() {
            return;
        }
        let path = path.child("x-kubernetes-validations");
        let Some(decl) = &self.decl else {
            let told = "internal error: failed to retrieve type information for x-kubernetes-validations";
            errors.push(FieldError::internal(path, told));
            return;
        };
        for (index, checked) in check(self.schema, decl).iter().enumerate() {
            self.rule(checked, &path.index(index), context, unchanged, budget, errors);
        }
    }

    fn rule(
        &self,
        checked: &Checked,
        path: &Path,
        context: &Context,
        unchanged: bool,
        budget: &mut Budget,
        errors: &mut FieldErrors,
    ) {
        let at = path.child("rule");
        let cost = checked.cost.saturating_mul(self.cardinality.unwrap_or(checked.cardinality));
        if !unchanged && cost > STATIC_COST_LIMIT {
            let told = cost_message("estimated rule cost", cost, STATIC_COST_LIMIT);
            errors.push(FieldError::forbidden(at.clone(), told));
        }
        budget.add(at.clone(), cost);
        if let Some(fault) = &checked.fault {
            errors.push(FieldError::invalid(at.clone(), "", fault.as_str()).told_as(&printed(checked)));
        }
        let message_at = path.child("messageExpression");
        if let Some(fault) = &checked.message_fault {
            errors.push(FieldError::invalid(message_at, "", fault.as_str()).told_as(&printed(checked)));
        } else if checked.message.is_some() {
            if !unchanged && checked.message_cost > STATIC_COST_LIMIT {
                let told =
                    cost_message("estimated messageExpression cost", checked.message_cost, STATIC_COST_LIMIT);
                errors.push(FieldError::forbidden(message_at.clone(), told));
            }
            budget.add(message_at, checked.message_cost);
        }
        if checked.uses_old {
            if let Some(loose) = &context.uncorrelated {
                let told = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
                );
                errors.push(FieldError::invalid(at, checked.rule.rule.as_str(), told));
            }
        } else if let Some(optional) = checked.rule.optional_old_self {
            let told = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(path.child("optionalOldSelf"), optional, told));
        }
    }
}

/// A rule as upstream prints it in faults.
fn printed(checked: &Checked) -> String {
    let rule = &checked.rule;
    let reason = if rule.reason.is_empty() { Value::Null } else { rule.reason.as_str().into() };
    let rule = json!({
        "rule": rule.rule, "message": rule.message, "messageExpression": rule.message_expression, "reason": reason,
        "fieldPath": rule.field_path, "optionalOldSelf": rule.optional_old_self,
    });
    dump::object("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule", &rule)
}
