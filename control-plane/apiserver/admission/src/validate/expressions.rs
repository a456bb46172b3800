//! CEL in configuration objects: every expression compiles, and to the type of its place.

use std::sync::Arc;

use oarlock_api::selector::qualified_name_faults;
use oarlock_api::{FieldError, FieldErrors, Path};
use oarlock_cel::{Environment, Variables};
use serde_json::Value;

use super::check::{Seen, invalid_each};
use crate::expressions::{Returns, Scope, compile};
use crate::value::{items, text};

const CONDITIONS_MAX: usize = 64;

/// Words of the language, which no variable may be called.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One expression that is there.
pub(super) fn expression(
    environment: &Environment,
    (source, told): (&str, &str),
    returns: Returns,
    path: &Path,
    errors: &mut FieldErrors,
) {
    if let Err(why) = compile(environment, source, returns) {
        errors.push(FieldError::invalid(path.clone(), told, why));
    }
}

/// `matchConditions`.
pub(super) fn conditions(list: &[Value], scope: Scope, path: &Path, errors: &mut FieldErrors) {
    if list.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path.clone(), list.len(), CONDITIONS_MAX));
    }
    if list.is_empty() {
        return;
    }
    let environment = scope.environment();
    let mut seen = Seen::default();
    for (index, condition) in list.iter().enumerate() {
        let at = path.index(index);
        let source = text(condition, &["expression"]).trim();
        if source.is_empty() {
            errors.push(FieldError::required(at.child("expression"), ""));
        } else {
            expression(&environment, (source, source), Returns::Bool, &at.child("expression"), errors);
        }
        let (name, at) = (text(condition, &["name"]), at.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else {
            invalid_each(name, qualified_name_faults(name), &at, errors);
            seen.add(name, &at, errors);
        }
    }
}

/// The environment that a policy's expressions are compiled in; each variable sees those before it.
pub(super) struct Composed {
    variables: Variables,
    any: bool,
}

impl Composed {
    pub(super) fn of(spec: &Value, scope: Scope, path: &Path, errors: &mut FieldErrors) -> Self {
        let list = items(spec, &["variables"]);
        let mut composed = Self { variables: Variables::new(), any: !list.is_empty() };
        for (index, variable) in list.iter().enumerate() {
            composed.add(variable, scope, &path.child("variables").index(index), errors);
        }
        composed
    }

    fn add(&mut self, variable: &Value, scope: Scope, path: &Path, errors: &mut FieldErrors) {
        let (name, source) = (text(variable, &["name"]), text(variable, &["expression"]));
        if name.trim().is_empty() {
            errors.push(FieldError::required(path.child("name"), "name is not specified"));
        } else if !is_identifier(name) {
            let words = "must be a valid CEL identifier";
            errors.push(FieldError::invalid(path.child("name"), name, words));
        }
        let at = path.child("expression");
        if source.trim().is_empty() {
            return errors.push(FieldError::required(at, "expression is not specified"));
        }
        match compile(&self.environment(scope), source, Returns::Any) {
            Ok(program) => self.variables.add(name, Arc::new(program)),
            Err(why) => errors.push(FieldError::invalid(at, source, why)),
        }
    }

    /// Without variables there is no `variables`.
    pub(super) fn environment(&self, scope: Scope) -> Environment {
        let environment = scope.environment();
        if self.any { environment.variable("variables", self.variables.decl()) } else { environment }
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
        && !RESERVED.contains(&name)
}
