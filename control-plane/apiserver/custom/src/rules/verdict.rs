//! What a rule says of a value, in upstream's words, and what asking it cost.

use oarlock_cel::{Activation, EvalError, Program, Value as CelValue};
use serde_json::Value;

use super::program::Checked;

/// A message that an expression makes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
pub(super) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
const MESSAGE_OUT_OF_BUDGET: &str = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";

/// What became of one rule.
pub(super) enum Verdict {
    Holds,
    /// The value is not what the rule wants, for this reason.
    Fails(String),
    /// As `Fails`, but telling the reason was too dear: no more rules are asked.
    FailsLast(String),
    /// The rule could not be asked.
    Broken(String),
    /// As `Broken`, and no more rules are asked.
    BrokenLast(String),
}

/// What may still be spent on the rules of an object.
pub(super) struct Purse {
    pub(super) left: u64,
}

/// Why an expression gave no value.
enum Broke {
    /// The purse is empty.
    Spent,
    /// This one call took more than any may.
    TooDear(EvalError),
    Error(EvalError),
}

impl Purse {
    fn pay<'a>(&mut self, program: &'a Program, activation: &Activation<'a>) -> Result<CelValue<'a>, Broke> {
        let outcome = program.evaluate(activation, self.left);
        if outcome.cost > self.left || matches!(outcome.value, Err(EvalError::Budget)) {
            return Err(Broke::Spent);
        }
        self.left -= outcome.cost;
        outcome.value.map_err(|error| match error {
            EvalError::CostLimit => Broke::TooDear(error),
            error => Broke::Error(error),
        })
    }
}

/// Asks a rule of a value; none where it has nothing to say: it is empty, or about a change where there is none.
pub(super) fn judge(
    checked: &Checked,
    new: &Value,
    old: Option<&Value>,
    purse: &mut Purse,
) -> Option<Verdict> {
    if let Some(fault) = &checked.fault {
        return Some(Verdict::Broken(format!("rule compile error: {fault}")));
    }
    let takes_none = checked.rule.optional_old_self == Some(true);
    if checked.uses_old && old.is_none() && !takes_none {
        return None;
    }
    let program = checked.program.as_ref()?;
    let mut activation = Activation::new();
    activation.json("self", new);
    match old {
        Some(old) => {
            activation.json("oldSelf", old);
        }
        None if takes_none => {
            activation.value("oldSelf", CelValue::optional(None));
        }
        None => {}
    }
    Some(match purse.pay(program, &activation) {
        Ok(value) if value.as_bool() == Some(true) => Verdict::Holds,
        Ok(_) => reason(checked, &activation, purse),
        Err(Broke::Spent) => Verdict::BrokenLast(OUT_OF_BUDGET.into()),
        Err(Broke::TooDear(error)) => Verdict::BrokenLast(format!(
            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
            title(checked)
        )),
        Err(Broke::Error(error)) => Verdict::Broken(broken(&error.to_string(), title(checked))),
    })
}

fn broken(error: &str, title: &str) -> String {
    if error.starts_with("no such overload") {
        let why = "call arguments did not match a supported operator, function or macro signature";
        return format!("'{error}': {why} for rule: {title}");
    }
    format!("{error} evaluating rule: {title}")
}

/// Why the rule does not hold: by its expression, else by its message, else by itself.
fn reason<'a>(checked: &'a Checked, activation: &Activation<'a>, purse: &mut Purse) -> Verdict {
    let made = match checked.message.as_ref().map(|message| purse.pay(message, activation)) {
        Some(Err(Broke::Spent)) => return Verdict::FailsLast(MESSAGE_OUT_OF_BUDGET.into()),
        Some(Err(Broke::TooDear(_))) => {
            return Verdict::FailsLast(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                checked.rule.message_expression
            ));
        }
        Some(Ok(value)) => value.as_str().and_then(usable),
        Some(Err(Broke::Error(_))) | None => None,
    };
    let plain = || match checked.rule.message.as_str() {
        "" => format!("failed rule: {}", title(checked)),
        message => message.trim().to_string(),
    };
    Verdict::Fails(made.unwrap_or_else(plain))
}

/// What an expression made, if it is one line that says something.
fn usable(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    good.then(|| text.to_string())
}

/// What a rule is called in faults.
fn title(checked: &Checked) -> &str {
    let rule = &checked.rule;
    if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() }
}
