//! Selectors of devices: CEL expressions over one device.

use std::sync::LazyLock;

use oarlock_api::{FieldError, FieldErrors, Path};
use oarlock_cel::{Decl, Environment, Library, Type};
use serde_json::Value;

use super::parts::at_most;
use crate::value::text;

const SELECTORS_MAX: usize = 32;
const EXPRESSION_MAX: usize = 10 * 1024;
/// What an expression may cost at most, by the estimate: a scheduler runs it for every device.
const COST_MAX: u64 = 1_000_000;

/// The sizes of what a device may say of itself, which the estimate of costs goes by.
const DOMAIN_MAX: u64 = 63;
const IDENTIFIER_MAX: u64 = 32;
const DRIVER_MAX: u64 = 63;
const VALUE_MAX: u64 = 64;
const NAMES_MAX: u64 = 32;

/// What an expression sees: `device.driver`, `device.attributes[domain].name`, `device.capacity[domain].name`; and it may
/// give a domain a name, by `cel.bind`.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let by_domain = |of: Decl| {
        let by_name = Type::map(Decl::at_most(Type::String, IDENTIFIER_MAX), of);
        let by_name = Decl::at_most(by_name, NAMES_MAX);
        Decl::at_most(Type::map(Decl::at_most(Type::String, DOMAIN_MAX), by_name), NAMES_MAX)
    };
    let device = Type::object(
        "kubernetes.DRADevice",
        [
            ("driver", Decl::at_most(Type::String, DRIVER_MAX)),
            ("attributes", by_domain(Decl::at_most(Type::Any, VALUE_MAX))),
            ("capacity", by_domain(Type::Library(Library::Quantity).into())),
            ("allowMultipleAllocations", Decl::at_most(Type::Bool, 1)),
        ],
    );
    Environment::kubernetes().bindings().variable("device", device)
});

pub(super) fn all(selectors: &Value, path: &Path, errors: &mut FieldErrors) {
    for (at, selector) in at_most(selectors, SELECTORS_MAX, path, errors).collect::<Vec<_>>() {
        let at = at.child("cel");
        if selector["cel"].is_object() {
            expression(text(&selector["cel"]["expression"]), &at.child("expression"), errors);
        } else {
            errors.push(FieldError::required(at, ""));
        }
    }
}

fn expression(expression: &str, path: &Path, errors: &mut FieldErrors) {
    if expression.len() > EXPRESSION_MAX {
        return errors.push(FieldError::too_long(path.clone(), EXPRESSION_MAX));
    }
    let fault = match ENVIRONMENT.compile(expression) {
        Err(error) => error.to_string(),
        Ok(program) => match program.result_type() {
            Type::Bool | Type::Any if program.estimate().max > COST_MAX => {
                return errors.push(FieldError::forbidden(path.clone(), "too complex, exceeds cost limit"));
            }
            Type::Bool | Type::Any => return,
            other => format!("must evaluate to bool or the unknown type, not {}", told(other)),
        },
    };
    errors.push(FieldError::invalid(path.clone(), expression, fault));
}

/// A type as upstream tells it here: by the names of protobuf, which the messages of the compiler do not use.
fn told(of: &Type) -> String {
    match of {
        Type::Any => "google.protobuf.Any".into(),
        Type::Null | Type::Timestamp | Type::Duration => of.runtime_name().into(),
        Type::List(list) => format!("list({})", told(&list.element.ty)),
        Type::Map(map) => format!("map({}, {})", told(&map.key.ty), told(&map.value.ty)),
        Type::Optional(of) => format!("optional_type({})", told(of)),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
