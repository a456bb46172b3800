//! A compiled expression.

use std::sync::Arc;

use crate::activation::Activation;
use crate::check::{Checked, Reference};
use crate::cost::{self, CostEstimate};
use crate::environment::Environment;
use crate::error::EvalError;
use crate::eval::{self, Meter, Plan};
use crate::types::{Decl, Type};
use crate::value::Value;

/// A compiled expression: immutable, to be shared between threads and evaluated as often as needed.
#[derive(Debug)]
pub struct Program {
    plan: Plan,
    result: Type,
    estimate: CostEstimate,
    /// The variables that the expression uses.
    variables: Vec<(Arc<str>, Decl)>,
}

/// What an evaluation came to. The cost counts also where there is no value.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    pub value: Result<Value<'a>, EvalError>,
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(environment: &Environment, checked: &Checked) -> Self {
        let mut variables: Vec<(Arc<str>, Decl)> = Vec::new();
        let mut slots = vec![None; environment.variables().len()];
        for reference in &checked.references {
            if let Reference::Variable(index) = reference {
                slots[*index].get_or_insert_with(|| {
                    variables.push(environment.variables()[*index].clone());
                    variables.len() - 1
                });
            }
        }
        let estimate = cost::estimate(environment, checked);
        let result = checked.types[checked.expr.root as usize].clone();
        let plan = eval::plan(checked, &slots, environment.folds());
        Self { plan, result, estimate, variables }
    }

    /// The type of what it evaluates to.
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// What an evaluation can cost at least and at most, by the sizes that the variables' declarations promise.
    pub fn estimate(&self) -> CostEstimate {
        self.estimate
    }

    /// Whether the expression uses this variable.
    pub fn references(&self, variable: &str) -> bool {
        self.variables.iter().any(|(name, _)| **name == *variable)
    }

    /// The value of the expression. Ends at [`PER_CALL_LIMIT`](crate::PER_CALL_LIMIT), or at `budget` where that is less;
    /// variables of a policy have limits of their own and share the budget.
    pub fn evaluate<'a>(&'a self, activation: &Activation<'a>, budget: u64) -> Outcome<'a> {
        let meter = Meter::new(budget);
        let (value, beside) = eval::run(&self.plan, &self.variables, activation, &meter, budget);
        Outcome { value, cost: meter.cost().saturating_add(beside) }
    }
}
