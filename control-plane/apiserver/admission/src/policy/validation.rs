//! What a ValidatingAdmissionPolicy says of one request with one set of params. Pure but for the authorizer, which may
//! ask to be asked first.

use oarlock_cel::{Activation, EvalError};
use serde_json::Value;

use super::definition::{Environments, Policy};
use crate::expressions::{Asker, BUDGET, Compiled, Inputs, Outcome, Pending, Returns, compile};
use crate::facts::Facts;
use crate::metrics::Holder;
use crate::metrics::timed_evaluation;
use crate::value::{items, text};

/// A longer message is not told. (`MaxEvaluatedMessageExpressionSizeBytes`)
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// The rules of a policy.
pub(super) struct Rules {
    validations: Vec<Validation>,
    audit: Vec<(String, String, Compiled)>,
}

struct Validation {
    source: String,
    program: Compiled,
    message: String,
    message_program: Option<Compiled>,
    reason: String,
}

/// A rule that does not hold, or could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    /// Of the rule in its policy.
    pub(super) index: usize,
    pub(super) message: String,
    /// Empty after an error.
    pub(super) reason: String,
}

/// What is to be told of the whole evaluation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) denials: Vec<Denial>,
    pub(super) annotations: Vec<(String, String)>,
    /// Audit annotations that failed: they refuse, whatever the binding's actions.
    pub(super) annotation_errors: Vec<String>,
}

impl Rules {
    pub(super) fn of(spec: &Value, environments: &Environments) -> Self {
        let validations = items(spec, &["validations"]).iter().map(|rule| {
            let source = text(rule, &["expression"]);
            Validation {
                source: source.to_string(),
                program: compile(&environments.rules, source, Returns::Bool),
                message: text(rule, &["message"]).to_string(),
                message_program: rule["messageExpression"]
                    .as_str()
                    .map(|source| compile(&environments.told, source, Returns::String)),
                reason: text(rule, &["reason"]).to_string(),
            }
        });
        let audit = items(spec, &["auditAnnotations"]).iter().map(|annotation| {
            let source = text(annotation, &["valueExpression"]);
            let program = compile(&environments.told, source, Returns::StringOrNull);
            (text(annotation, &["key"]).to_string(), source.to_string(), program)
        });
        Self { validations: validations.collect(), audit: audit.collect() }
    }
}

/// One evaluation in progress.
struct Evaluation<'a, 'b> {
    policy: &'a Policy<Rules>,
    activation: &'b Activation<'a>,
    budget: u64,
}

/// Why an expression has no value.
enum Stop {
    Pending(Pending),
    /// Told of this expression.
    Error(String),
    /// Told of all of them.
    Budget(String),
}

pub(super) fn evaluate<'a>(
    policy: &'a Policy<Rules>,
    facts: &Facts<'_>,
    inputs: &Inputs<'a>,
    asker: &'a Asker,
) -> Result<Verdict, Pending> {
    if let Some(conditions) = &policy.conditions {
        let holder = Holder { name: &policy.name, kind: "policy", mutating: false };
        match conditions.evaluate(facts, inputs, asker)? {
            Outcome::Matches => {}
            Outcome::Excluded => {
                holder.excluded(facts.operation);
                return Ok(Verdict::default());
            }
            Outcome::Failed(why) => {
                holder.failed(facts.operation);
                return Ok(policy.failed(why));
            }
        }
    }
    let mut activation = inputs.activation(facts, asker);
    activation.variables(&policy.variables);
    let mut evaluation = Evaluation { policy, activation: &activation, budget: BUDGET };
    let mut verdict = match evaluation.denials() {
        Ok(denials) => Verdict { denials, ..Verdict::default() },
        Err(Stop::Pending(check)) => return Err(check),
        Err(Stop::Budget(why) | Stop::Error(why)) => return Ok(policy.failed(why)),
    };
    evaluation.budget = BUDGET;
    match evaluation.annotations(&mut verdict) {
        Ok(()) => Ok(verdict),
        Err(Stop::Pending(check)) => Err(check),
        Err(Stop::Budget(why) | Stop::Error(why)) => Ok(policy.failed(why)),
    }
}

impl Policy<Rules> {
    /// Nothing could be evaluated; the failure policy says what that means.
    fn failed(&self, message: String) -> Verdict {
        if self.fails_open {
            return Verdict::default();
        }
        let denials = vec![Denial { index: 0, message, reason: String::new() }];
        Verdict { denials, ..Verdict::default() }
    }
}

impl<'a> Evaluation<'a, '_> {
    /// The value as JSON: what is asked of it is a boolean, a text or null.
    fn value(&mut self, source: &str, program: &'a Compiled) -> Result<Value, Stop> {
        let program = program.as_ref().map_err(|why| Stop::Error(format!("compilation error: {why}")))?;
        let outcome = timed_evaluation(|| program.evaluate(self.activation, self.budget));
        self.budget = self.budget.saturating_sub(outcome.cost);
        let failed = |error: EvalError| match error {
            EvalError::Pending(check) => Stop::Pending(check),
            EvalError::Budget => Stop::Budget(error.to_string()),
            error => Stop::Error(format!("expression '{source}' resulted in error: {error}")),
        };
        outcome.value.map_err(failed)?.to_json().map_err(failed)
    }

    fn denials(&mut self) -> Result<Vec<Denial>, Stop> {
        let (policy, mut denials) = (self.policy, Vec::new());
        for (index, rule) in policy.effect.validations.iter().enumerate() {
            match self.value(&rule.source, &rule.program) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => denials.push((index, rule, None)),
                Err(Stop::Error(_)) if policy.fails_open => {}
                Err(Stop::Error(why)) => denials.push((index, rule, Some(why))),
                Err(stop) => return Err(stop),
            }
        }
        let mut told = Vec::with_capacity(denials.len());
        for (index, rule, error) in denials {
            told.extend(match error {
                Some(message) => Some(Denial { index, message, reason: String::new() }),
                None => self.denial(index, rule)?,
            });
        }
        Ok(told)
    }

    /// A rule that is false.
    fn denial(&mut self, index: usize, rule: &'a Validation) -> Result<Option<Denial>, Stop> {
        let mut message = String::new();
        if let Some(program) = &rule.message_program {
            match self.value("messageExpression", program) {
                Ok(value) => message = usable(value.as_str().unwrap_or_default()).to_string(),
                Err(Stop::Error(why)) => {
                    tracing::debug!(policy = self.policy.name, error = why, "messageExpression")
                }
                Err(Stop::Budget(_)) if self.policy.fails_open => return Ok(None),
                Err(Stop::Budget(why)) => {
                    let message = format!("failed messageExpression: {why}");
                    return Ok(Some(Denial { index, message, reason: String::new() }));
                }
                Err(stop) => return Err(stop),
            }
        }
        if message.is_empty() {
            message = rule.message.trim().to_string();
        }
        if message.is_empty() {
            message = format!("failed expression: {}", rule.source.trim());
        }
        let reason = if rule.reason.is_empty() { "Invalid" } else { &rule.reason };
        Ok(Some(Denial { index, message, reason: reason.to_string() }))
    }

    fn annotations(&mut self, verdict: &mut Verdict) -> Result<(), Stop> {
        for (key, source, program) in &self.policy.effect.audit {
            match self.value(source, program) {
                Ok(Value::String(value)) if !value.trim().is_empty() => {
                    verdict.annotations.push((key.clone(), value.trim().to_string()));
                }
                Ok(Value::String(_) | Value::Null) => {}
                Ok(_) => verdict.annotation_errors.push(format!(
                    "valueExpression '{source}' resulted in unsupported return type. Return type must be either string or null."
                )),
                Err(Stop::Error(_)) if self.policy.fails_open => {}
                Err(Stop::Error(why)) => verdict.annotation_errors.push(why),
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }
}

/// One line of decent length, or nothing.
fn usable(message: &str) -> &str {
    let message = message.trim();
    if message.len() > MESSAGE_BYTES_MAX || message.contains('\n') { "" } else { message }
}
