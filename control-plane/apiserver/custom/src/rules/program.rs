//! One rule, compiled and checked.

use oarlock_api::structural::{Rule, Structural};
use oarlock_cel::{Decl, Environment, Program, Type};

use super::cost::REQUEST_BYTES_MAX;
use crate::definition::valid_path;

/// A rule and what became of it. Without program and fault it is empty.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) rule: Rule,
    pub(crate) program: Option<Program>,
    pub(crate) fault: Option<String>,
    pub(crate) message: Option<Program>,
    pub(crate) message_fault: Option<String>,
    /// It is about a transition.
    pub(crate) uses_old: bool,
    /// The most that one run can cost.
    pub(crate) cost: u64,
    pub(crate) message_cost: u64,
    /// How often at most a value of this kind is in a request.
    pub(crate) cardinality: u64,
    /// Of `fieldPath`, as faults tell it.
    pub(crate) field_path: String,
}

/// Compiles the rules of one schema, not those below it.
pub(crate) fn check(schema: &Structural, decl: &Decl) -> Vec<Checked> {
    if schema.rules.is_empty() {
        return Vec::new();
    }
    let base = Environment::kubernetes().variable("self", decl.clone());
    let plain = base.clone().variable("oldSelf", decl.clone());
    let optional = base.variable("oldSelf", decl.optional());
    let cardinality = REQUEST_BYTES_MAX / (decl.min_size() + 1);
    let compiled = schema.rules.iter().map(|rule| {
        let environment = if rule.optional_old_self == Some(true) { &optional } else { &plain };
        let mut checked = compile(rule, environment);
        checked.cardinality = cardinality;
        if !rule.field_path.is_empty()
            && let Ok((path, _)) = valid_path(&rule.field_path, schema, true)
        {
            checked.field_path = path.as_str().to_string();
        }
        checked
    });
    compiled.collect()
}

fn compile(rule: &Rule, environment: &Environment) -> Checked {
    let mut checked = Checked {
        rule: rule.clone(),
        program: None,
        fault: None,
        message: None,
        message_fault: None,
        uses_old: false,
        cost: 0,
        message_cost: 0,
        cardinality: 0,
        field_path: String::new(),
    };
    if rule.rule.trim().is_empty() {
        return checked;
    }
    match environment.compile(&rule.rule) {
        Err(error) => {
            checked.fault = Some(error.to_string());
            return checked;
        }
        Ok(program) if *program.result_type() != Type::Bool => {
            checked.fault = Some("cel expression must evaluate to a bool".into());
            return checked;
        }
        Ok(program) => {
            checked.uses_old = program.references("oldSelf");
            checked.cost = program.estimate().max;
            checked.program = Some(program);
        }
    }
    if rule.message_expression.is_empty() {
        return checked;
    }
    match environment.compile(&rule.message_expression) {
        Err(error) => checked.message_fault = Some(format!("messageExpression {error}")),
        Ok(program) if *program.result_type() != Type::String => {
            checked.message_fault = Some("messageExpression must evaluate to a string".into());
        }
        Ok(program) => {
            checked.message_cost = program.estimate().max;
            checked.message = Some(program);
        }
    }
    checked
}
