//! Selectors of devices: CEL expressions over one device.

use std::sync::LazyLock;

use oarlock_api::{FieldError, FieldErrors, Path};
use oarlock_cel::{Environment, Library, Type};
use serde_json::Value;

use super::parts::at_most;
use crate::value::text;

const SELECTORS_MAX: usize = 32;
const EXPRESSION_MAX: usize = 10 * 1024;

/// What an expression sees: `device.driver`, `device.attributes[domain].name`, `device.capacity[domain].name`; and it may
/// give a domain a name, by `cel.bind`.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let by_domain = |of: Type| Type::map(Type::String, Type::map(Type::String, of));
    let device = Type::object(
        "DRADevice",
        [
            ("driver", Type::String.into()),
            ("attributes", by_domain(Type::Dyn).into()),
            ("capacity", by_domain(Type::Library(Library::Quantity)).into()),
            ("allowMultipleAllocations", Type::Bool.into()),
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
            Type::Bool | Type::Dyn => return,
            other => format!("must evaluate to bool or the unknown type, not {other}"),
        },
    };
    errors.push(FieldError::invalid(path.clone(), expression, fault));
}
