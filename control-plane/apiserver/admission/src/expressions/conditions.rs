//! `matchConditions`: all must be true; one that is false excludes, whatever else fails. (`plugin/webhook/matchconditions`)

use oarlock_cel::EvalError;
use serde_json::Value;

use super::{Asker, CONDITIONS_BUDGET, Compiled, Inputs, Pending, Returns, Scope, compile};
use crate::facts::Facts;
use crate::metrics::timed_evaluation;
use crate::value::{aggregate, text};

/// The match conditions of one webhook or policy.
pub(crate) struct Conditions {
    all: Vec<(String, Compiled)>,
    fails_open: bool,
}

/// What they say of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Matches,
    Excluded,
    Failed(String),
}

impl Conditions {
    pub(crate) fn compile(conditions: &[Value], scope: &Scope, fails_open: bool) -> Self {
        let environment = scope.environment();
        let all = conditions.iter().map(|condition| {
            let source = text(condition, &["expression"]);
            (source.to_string(), compile(&environment, source, Returns::Bool))
        });
        Self { all: all.collect(), fails_open }
    }

    pub(crate) fn evaluate(
        &self,
        facts: &Facts<'_>,
        inputs: &Inputs<'_>,
        asker: &Asker,
    ) -> Result<Outcome, Pending> {
        let activation = inputs.activation(facts, asker);
        let (mut budget, mut errors) = (CONDITIONS_BUDGET, Vec::new());
        for (source, program) in &self.all {
            let program = match program {
                Ok(program) => program,
                Err(why) => {
                    errors.push(format!("compilation error: {why}"));
                    continue;
                }
            };
            let outcome = timed_evaluation(|| program.evaluate(&activation, budget));
            budget = budget.saturating_sub(outcome.cost);
            match outcome.value {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => return Ok(Outcome::Excluded),
                Err(EvalError::Pending(check)) => return Err(check),
                // Nothing that comes after can be evaluated any more.
                Err(error @ EvalError::Budget) => return Ok(self.failed(error.to_string())),
                Err(error) => errors.push(format!("expression '{source}' resulted in error: {error}")),
            }
        }
        Ok(if errors.is_empty() { Outcome::Matches } else { self.failed(aggregate(&errors)) })
    }

    fn failed(&self, why: String) -> Outcome {
        if self.fails_open { Outcome::Excluded } else { Outcome::Failed(why) }
    }
}
