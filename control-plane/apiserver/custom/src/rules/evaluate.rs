//! Asks the rules of a schema of an object, node by node.

use oarlock_api::field::Fault;
use oarlock_api::{FieldError, Path};
use serde_json::Value;

use super::kept::Kept;
use super::program::Checked;
use super::verdict::{OUT_OF_BUDGET, Purse, Verdict, judge};
use super::{Answer, RuleNode};
use crate::correlate::{Correlated, same_item};

/// Nothing more is asked.
struct Exhausted;

struct Run {
    answer: Answer,
    purse: Purse,
}

pub(super) fn run(
    root: &RuleNode,
    path: &Path,
    new: &Value,
    old: Option<&Value>,
    correlated: Option<Correlated<'_>>,
    budget: u64,
) -> Answer {
    let mut run = Run { answer: Answer::default(), purse: Purse { left: budget } };
    let finished = run.node(root, path, new, old, Kept::of(correlated)).is_ok();
    run.answer.left = if finished { run.purse.left } else { 0 };
    run.answer
}

impl Run {
    fn node(
        &mut self,
        node: &RuleNode,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        kept: Kept<'_>,
    ) -> Result<(), Exhausted> {
        if new.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        self.rules(node, path, new, old, kept)?;
        match new {
            Value::Array(items) => {
                let Some(below) = &node.items else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let was = old.and_then(|old| same_item(&node.list, item, old));
                    self.node(below, &path.index(index), item, was, kept.index(index))?;
                }
            }
            Value::Object(fields) => {
                let was = |name: &str| old.and_then(|old| old.as_object()?.get(name));
                for (name, below) in &node.properties {
                    if let Some(value) = fields.get(name) {
                        self.node(below, &path.child(name), value, was(name), kept.key(name))?;
                    }
                }
                if let Some(below) = &node.additional {
                    for (name, value) in fields {
                        self.node(below, &path.key(name), value, was(name), kept.key(name))?;
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
        kept: Kept<'_>,
    ) -> Result<(), Exhausted> {
        let kind = node.kind.map(|kind| kind.name()).unwrap_or_default();
        let broken = |told: String| FieldError::invalid(path.clone(), kind, told);
        if !node.rules.is_empty() && self.purse.left == 0 {
            self.answer.errors.push(broken(OUT_OF_BUDGET.into()));
            return Err(Exhausted);
        }
        for checked in &node.rules {
            let Some(verdict) = judge(checked, new, old, &mut self.purse) else { continue };
            let last = matches!(verdict, Verdict::FailsLast(_) | Verdict::BrokenLast(_));
            match verdict {
                Verdict::Holds => {}
                Verdict::Broken(told) | Verdict::BrokenLast(told) => self.answer.errors.push(broken(told)),
                Verdict::Fails(detail) => {
                    let fault = fault(&checked.rule.reason, new, detail);
                    self.tell(checked, kept, FieldError { path: place(checked, path), fault });
                }
                Verdict::FailsLast(told) => {
                    self.tell(checked, kept, FieldError::invalid(place(checked, path), kind, told));
                }
            }
            if last {
                return Err(Exhausted);
            }
        }
        Ok(())
    }

    /// A rule about a change is never forgiven.
    fn tell(&mut self, checked: &Checked, kept: Kept<'_>, error: FieldError) {
        if !checked.uses_old && kept.forgives() {
            self.answer.forgiven.push(error.to_string());
        } else {
            self.answer.errors.push(error);
        }
    }
}

/// Where a rule that does not hold is told: at its value, or at the `fieldPath` below.
fn place(checked: &Checked, path: &Path) -> Path {
    match checked.field_path.as_str() {
        "" => path.clone(),
        key if key.starts_with('[') => Path::new(&format!("{}{key}", path.as_str())),
        below => path.child(below),
    }
}

/// The fault of a rule's `reason`; objects and lists are not repeated in it.
fn fault(reason: &str, value: &Value, detail: String) -> Fault {
    let whole = value.is_object() || value.is_array();
    match reason {
        "FieldValueForbidden" => Fault::Forbidden { detail },
        "FieldValueRequired" => Fault::Required { detail },
        "FieldValueDuplicate" if whole => Fault::DuplicateOmitted,
        "FieldValueDuplicate" => Fault::Duplicate { value: value.clone() },
        _ if whole => Fault::InvalidOmitted { detail },
        _ => Fault::Invalid { value: value.clone(), detail },
    }
}
