//! Values against a schema, with upstream's faults in upstream's words (kube-openapi's validator).
//!
//! The schema is walked as it was read; nothing is built for a request but the faults found.

mod formats;
mod junctors;
mod lists;
mod node;
mod outcome;
mod patterns;
mod scalar;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use oarlock_api::field::Fault;
use oarlock_api::structural::Structural;
use oarlock_api::{FieldErrors, Path};
use serde_json::{Map, Value};

use crate::correlate::Correlated;
pub(crate) use formats::check_of as format_check;
pub(crate) use lists::{check_lists, has_lists};
use node::{Node, Others};
use outcome::Outcome;
pub(crate) use patterns::Patterns;
use scalar::{Num, invalid};

/// Checks a value; faults stand under `path`. With an old value, the faults of what did not change are forgiven.
pub(crate) fn validate(
    schema: &Structural,
    patterns: &Patterns,
    value: &Value,
    old: Option<&Value>,
    path: &Path,
) -> FieldErrors {
    let mut walk = Walk { patterns, at: String::new() };
    let correlated = old.map(|old| Correlated { schema, new: value, old });
    walk.ratcheted(Node::Structure(schema), value, correlated).into_errors(path)
}

struct Walk<'p> {
    patterns: &'p Patterns,
    /// Where we are, with dots also before keys of maps.
    at: String,
}

impl Walk<'_> {
    /// A value that may have an old one.
    fn ratcheted(&mut self, node: Node<'_>, value: &Value, correlated: Option<Correlated<'_>>) -> Outcome {
        let mut outcome = self.value(node, value, correlated);
        if !outcome.is_valid() && correlated.is_some_and(|both| both.is_unchanged()) {
            outcome.forgive();
        }
        outcome
    }

    fn value(&mut self, node: Node<'_>, value: &Value, correlated: Option<Correlated<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        scalar::check_type(node, value, &self.at, &mut outcome);
        if value.is_null() {
            self.one_of(node, value, &mut outcome);
            return outcome;
        }
        outcome.fits += 2;
        outcome.merge(self.junctors(node, value, correlated));
        match value {
            Value::String(text) => {
                scalar::check_string(node, text, &self.at, self.patterns, &mut outcome);
                scalar::check_format(node, text, &self.at, &mut outcome);
            }
            Value::Number(number) => {
                scalar::check_number(node, Num::of(number), &self.at, &mut outcome);
            }
            Value::Array(items) => self.items(node, items, correlated, &mut outcome),
            _ => {}
        }
        self.one_of(node, value, &mut outcome);
        if let Value::Object(fields) = value {
            self.fields(node, fields, correlated, &mut outcome);
        }
        outcome
    }

    fn one_of(&self, node: Node<'_>, value: &Value, outcome: &mut Outcome) {
        let allowed = node.list("enum");
        if allowed.is_empty() || scalar::is_one_of(value, allowed) {
            return;
        }
        let supported =
            allowed.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_string));
        let fault = Fault::NotSupported { value: value.clone(), supported: supported.collect() };
        outcome.add(&self.at, fault);
    }

    fn items(
        &mut self,
        node: Node<'_>,
        items: &[Value],
        correlated: Option<Correlated<'_>>,
        outcome: &mut Outcome,
    ) {
        if let Some(schema) = node.items() {
            let length = self.at.len();
            for (index, item) in items.iter().enumerate() {
                write!(self.at, "[{index}]").expect("writing to a string does not fail");
                let below = correlated.and_then(|both| both.index(index));
                outcome.merge(self.ratcheted(schema, item, below));
                self.at.truncate(length);
            }
        }
        let (at, size) = (&self.at, i64::try_from(items.len()).unwrap_or(i64::MAX));
        if let Some(min) = node.count("minItems").filter(|min| size < *min) {
            outcome.add(at, invalid(size, format!("{at} in body should have at least {min} items")));
        }
        if let Some(max) = node.count("maxItems").filter(|max| size > *max) {
            outcome.add(at, too_many(items.len(), max));
        }
        if node.flag("uniqueItems") && lists::has_duplicates(items) {
            outcome.add(at, invalid("", format!("{at} in body shouldn't contain duplicates")));
        }
        outcome.fits += 1;
    }

    fn fields(
        &mut self,
        node: Node<'_>,
        fields: &Map<String, Value>,
        correlated: Option<Correlated<'_>>,
        outcome: &mut Outcome,
    ) {
        let size = i64::try_from(fields.len()).unwrap_or(i64::MAX);
        if let Some(min) = node.count("minProperties").filter(|min| size < *min) {
            let detail = format!("{} in body should have at least {min} properties", self.at);
            outcome.add(&self.at, invalid(size, detail));
        }
        if let Some(max) = node.count("maxProperties").filter(|max| size > *max) {
            outcome.add(&self.at, too_many(fields.len(), max));
        }
        for (name, value) in fields {
            let (schema, is_property) = match (node.property(name), node.others()) {
                (Some(schema), _) => (schema, true),
                (None, Others::Schema(schema)) => (schema, false),
                (None, Others::Anything) => continue,
                (None, Others::Nothing) => {
                    let detail = format!("{}.{name} in body is a forbidden property", self.at);
                    outcome.add(&self.at, invalid(name.as_str(), detail));
                    continue;
                }
            };
            let length = self.at.len();
            let hidden = length == 0 && matches!(name.as_str(), "apiVersion" | "kind");
            if !(is_property && self.at.is_empty()) {
                self.at.push('.');
            }
            self.at.push_str(name);
            let below = if hidden { None } else { correlated.and_then(|both| both.key(name)) };
            outcome.merge(self.ratcheted(schema, value, below));
            self.at.truncate(length);
        }
        for name in node.list("required").iter().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                outcome.add(&format!("{}.{name}", self.at), Fault::Required { detail: String::new() });
            }
        }
    }
}

fn too_many(actual: usize, max: i64) -> Fault {
    Fault::TooMany { actual, max: usize::try_from(max).unwrap_or_default() }
}
