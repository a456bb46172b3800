//! Asks the rules of a schema of an object.

use oarlock_api::field::Fault;
use oarlock_api::{FieldError, Path};
use oarlock_cel::{Activation, EvalError, Value as CelValue};
use serde_json::Value;

use super::program::Checked;
use super::{Answer, RuleNode};
use crate::correlate::{Correlated, same_item};

/// A message that an expression makes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The budget is spent: nothing more is asked.
struct Exhausted;

struct Run {
    answer: Answer,
}

/// What did not change around a value.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    here: Option<Correlated<'a>>,
    /// The nearest part around it that has an old value.
    parent: Option<Correlated<'a>>,
}

impl<'a> Around<'a> {
    /// Faults of what is the same as before are forgiven.
    fn forgives(&self) -> bool {
        self.here.or(self.parent).is_some_and(|both| both.is_unchanged())
    }

    fn key(self, name: &str) -> Self {
        match self.here {
            None => self,
            // The old object was converted: whether these changed cannot be seen.
            Some(_) if self.parent.is_none() && matches!(name, "apiVersion" | "kind") => Self::default(),
            Some(here) => Self { here: here.key(name), parent: Some(here) },
        }
    }

    fn index(self, index: usize) -> Self {
        match self.here {
            None => self,
            Some(here) => Self { here: here.index(index), parent: Some(here) },
        }
    }
}

pub(super) fn run(
    root: &RuleNode,
    path: &Path,
    new: &Value,
    old: Option<&Value>,
    correlated: Option<Correlated<'_>>,
    budget: u64,
) -> Answer {
    let mut run = Run { answer: Answer { left: budget, ..Answer::default() } };
    let around = Around { here: correlated, parent: None };
    if run.node(root, path, new, old, around).is_err() {
        run.answer.left = 0;
    }
    run.answer
}

impl Run {
    fn node(
        &mut self,
        node: &RuleNode,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        around: Around<'_>,
    ) -> Result<(), Exhausted> {
        if new.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        self.rules(node, path, new, old, around)?;
        match new {
            Value::Array(items) => {
                let Some(below) = &node.items else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let was = old.and_then(|old| same_item(&node.list, item, old));
                    self.node(below, &path.index(index), item, was, around.index(index))?;
                }
            }
            Value::Object(fields) => {
                let was = |name: &str| old.and_then(|old| old.as_object()?.get(name));
                for (name, below) in &node.properties {
                    if let Some(value) = fields.get(name) {
                        self.node(below, &path.child(name), value, was(name), around.key(name))?;
                    }
                }
                if let Some(below) = &node.additional {
                    for (name, value) in fields {
                        self.node(below, &path.key(name), value, was(name), around.key(name))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        node: &RuleNode,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        around: Around<'_>,
    ) -> Result<(), Exhausted> {
        if node.rules.is_empty() {
            return Ok(());
        }
        let kind = node.kind.map(|kind| kind.name()).unwrap_or_default();
        let fail = |told: String| FieldError::invalid(path.clone(), kind, told);
        if self.answer.left == 0 {
            self.answer.errors.push(fail(OUT_OF_BUDGET.into()));
            return Err(Exhausted);
        }
        for checked in &node.rules {
            if let Some(fault) = &checked.fault {
                self.answer.errors.push(fail(format!("rule compile error: {fault}")));
                continue;
            }
            let optional = checked.rule.optional_old_self == Some(true);
            let Some(program) =
                checked.program.as_ref().filter(|_| !checked.uses_old || old.is_some() || optional)
            else {
                continue;
            };
            let mut activation = Activation::new();
            activation.json("self", new);
            match old {
                Some(old) => {
                    activation.json("oldSelf", old);
                }
                None if optional => {
                    activation.value("oldSelf", CelValue::optional(None));
                }
                None => {}
            }
            let outcome = program.evaluate(&activation, self.answer.left);
            if outcome.cost > self.answer.left || matches!(outcome.value, Err(EvalError::Budget)) {
                self.answer.errors.push(fail(OUT_OF_BUDGET.into()));
                return Err(Exhausted);
            }
            self.answer.left -= outcome.cost;
            match outcome.value {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => self.failed(checked, node, path, new, &activation, around)?,
                Err(error) => {
                    let (told, last) = told(&error, checked);
                    self.answer.errors.push(fail(told));
                    if last {
                        return Err(Exhausted);
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells that a rule says no.
    fn failed<'a>(
        &mut self,
        checked: &'a Checked,
        node: &RuleNode,
        path: &Path,
        new: &Value,
        activation: &Activation<'a>,
        around: Around<'_>,
    ) -> Result<(), Exhausted> {
        let path = if checked.field_path.is_empty() {
            path.clone()
        } else if checked.field_path.starts_with('[') {
            Path::new(&format!("{}{}", path.as_str(), checked.field_path))
        } else {
            path.child(&checked.field_path)
        };
        let mut detail = None;
        if let Some(message) = &checked.message {
            let outcome = message.evaluate(activation, self.answer.left);
            let kind = node.kind.map(|kind| kind.name()).unwrap_or_default();
            let out_of_budget =
                outcome.cost > self.answer.left || matches!(outcome.value, Err(EvalError::Budget));
            if out_of_budget || matches!(outcome.value, Err(EvalError::CostLimit)) {
                let told = if out_of_budget {
                    "messageExpression evaluation failed due to running out of cost budget, no further validation rules \
                     will be run"
                        .to_string()
                } else {
                    let source = &checked.rule.message_expression;
                    format!(
                        "no further validation rules will be run due to call cost exceeds limit for messageExpression: \
                         {source:?}"
                    )
                };
                self.add(checked, around, FieldError::invalid(path, kind, told));
                return Err(Exhausted);
            }
            self.answer.left -= outcome.cost;
            detail = outcome.value.ok().and_then(|value| usable(value.as_str()?));
        }
        let detail = detail.unwrap_or_else(|| message_of(checked));
        let whole = new.is_object() || new.is_array();
        let fault = match checked.rule.reason.as_str() {
            "FieldValueForbidden" => Fault::Forbidden { detail },
            "FieldValueRequired" => Fault::Required { detail },
            "FieldValueDuplicate" if whole => Fault::DuplicateOmitted,
            "FieldValueDuplicate" => Fault::Duplicate { value: new.clone() },
            _ if whole => Fault::InvalidOmitted { detail },
            _ => Fault::Invalid { value: new.clone(), detail },
        };
        self.add(checked, around, FieldError { path, fault });
        Ok(())
    }

    fn add(&mut self, checked: &Checked, around: Around<'_>, error: FieldError) {
        if !checked.uses_old && around.forgives() {
            self.answer.forgiven.push(error.to_string());
        } else {
            self.answer.errors.push(error);
        }
    }
}

/// What an evaluation that broke off tells, and whether no more rules are asked.
fn told(error: &EvalError, checked: &Checked) -> (String, bool) {
    let name = rule_name(checked);
    if matches!(error, EvalError::CostLimit) {
        let told = format!(
            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
        );
        return (told, true);
    }
    let text = error.to_string();
    if text.starts_with("no such overload") {
        let told = format!(
            "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
        );
        return (told, false);
    }
    (format!("{text} evaluating rule: {name}"), false)
}

fn rule_name(checked: &Checked) -> &str {
    let rule = &checked.rule;
    if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() }
}

fn message_of(checked: &Checked) -> String {
    if checked.rule.message.is_empty() {
        format!("failed rule: {}", rule_name(checked))
    } else {
        checked.rule.message.trim().to_string()
    }
}

/// What an expression made, if it is one line that says something.
fn usable(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    good.then(|| text.to_string())
}
