//! Order, of what has one.

use std::cmp::Ordering;

use super::Value;
use crate::error::EvalError;

pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, EvalError> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Ok((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        _ if is_number(a) && is_number(b) => {
            order_numbers(a, b).ok_or_else(|| EvalError::message("NaN values cannot be ordered"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_))
}

/// None for what is no number, or not a number.
pub(super) fn order_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => order_double(*a, whole(b)?),
        (a, Value::Double(b)) => order_double(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(i) => Some(i128::from(*i)),
        Value::Uint(u) => Some(i128::from(*u)),
        _ => None,
    }
}

/// Exact: a double beyond all integers is beyond them, and within them its whole part is an integer.
fn order_double(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 1e20 {
        return Some(Ordering::Greater);
    }
    if double <= -1e20 {
        return Some(Ordering::Less);
    }
    let truncated = double.trunc();
    let order = (truncated as i128).cmp(&whole);
    Some(order.then_with(|| (double - truncated).partial_cmp(&0.0).unwrap_or(Ordering::Equal)))
}
