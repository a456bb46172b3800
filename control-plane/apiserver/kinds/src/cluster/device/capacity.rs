//! How much of a device's capacity one request may have. (KEP-5075)

use oarlock_api::quantity::Quantity;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::parts::at_most;
use crate::value::{is_set, items, quantity};

const VALUES_MAX: usize = 10;

/// `shared`: the device may be allocated more than once.
pub(super) fn validate(capacity: &Value, shared: bool, path: &Path, errors: &mut FieldErrors) {
    let (policy, at) = (&capacity["requestPolicy"], path.child("requestPolicy"));
    if !policy.is_object() {
        return;
    }
    if !shared {
        return errors.push(FieldError::forbidden(at, "allowMultipleAllocations must be true"));
    }
    let whole = quantity(&capacity["value"]).unwrap_or_default();
    let default = quantity(&policy["default"]);
    match (is_set(&policy["validValues"]), policy["validRange"].is_object()) {
        (true, true) => {
            let words = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.push(FieldError::forbidden(at, words));
        }
        (true, false) => match default {
            None => {
                errors.push(FieldError::required(at.child("default"), "required when validValues is defined"))
            }
            Some(default) => values(&policy["validValues"], default, whole, &at.child("validValues"), errors),
        },
        (false, true) => match default {
            None => {
                errors.push(FieldError::required(at.child("default"), "required when validRange is defined"))
            }
            Some(default) => range(&policy["validRange"], default, whole, &at.child("validRange"), errors),
        },
        (false, false) => {}
    }
}

fn values(list: &Value, default: Quantity, whole: Quantity, path: &Path, errors: &mut FieldErrors) {
    let all: Vec<Quantity> = items(list).iter().map(|value| quantity(value).unwrap_or_default()).collect();
    for (index, pair) in all.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let words = "values must be sorted in ascending order";
        errors.push(FieldError::invalid(path.index(index + 1), pair[1].to_string(), words));
    }
    for ((at, _), value) in at_most(list, VALUES_MAX, path, errors).collect::<Vec<_>>().into_iter().zip(&all)
    {
        if *value > whole {
            let words = format!("option is larger than capacity value: {whole}");
            errors.push(FieldError::invalid(at, value.to_string(), words));
        }
    }
    let few = &all[..all.len().min(VALUES_MAX)];
    for (index, value) in few.iter().enumerate().filter(|(index, value)| few[..*index].contains(value)) {
        errors.push(FieldError::duplicate(path.index(index), value.to_string()));
    }
    if !all.contains(&default) {
        let words = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path.clone(), default.to_string(), words));
    }
}

fn range(range: &Value, default: Quantity, whole: Quantity, path: &Path, errors: &mut FieldErrors) {
    let Some(min) = quantity(&range["min"]) else {
        return errors.push(FieldError::required(path.child("min"), "required when validRange is defined"));
    };
    let max = quantity(&range["max"]);
    let mut refuse = |field: &str, told: Quantity, words: String| {
        errors.push(FieldError::invalid(path.child(field), told.to_string(), words));
    };
    if min > whole {
        refuse("min", min, format!("min is larger than capacity value: {whole}"));
    }
    if default < min {
        refuse("default", default, format!("default is less than min: {min}"));
    }
    if let Some(max) = max {
        if min > max {
            refuse("max", min, format!("min is larger than max: {max}"));
        }
        if max > whole {
            refuse("max", max, format!("max is larger than capacity value: {whole}"));
        }
        if default > max {
            refuse("default", default, format!("default is more than max: {max}"));
        }
    }
    let Some(step) = quantity(&range["step"]) else { return };
    if step.is_zero() || step.is_negative() {
        return refuse("step", step, "must be greater than zero".into());
    }
    let mut one = min;
    one += step;
    if one > whole {
        refuse("step", step, format!("one step {one} is larger than capacity value: {whole}"));
    }
    for value in [Some(default), max].into_iter().flatten() {
        let over = i128::from(value.value()) - i128::from(min.value());
        let width = i128::from(step.value());
        if width == 0 || over % width != 0 {
            refuse("step", value, format!("value is not a multiple of a given step ({step}) from ({min})"));
        }
    }
}
