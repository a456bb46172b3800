//! Equality: numbers by value whatever their type, everything else within its type; what differs in type is not equal.

use std::cmp::Ordering;

use super::{Opaque, Value, compare::order_numbers};
use crate::error::EvalError;
use crate::eval::Meter;

pub(crate) fn equal(a: &Value<'_>, b: &Value<'_>, meter: &Meter) -> Result<bool, EvalError> {
    meter.step(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.runtime_name() == b.runtime_name(),
        (Value::List(a), Value::List(b)) => return meter.deeper(|| a.equals(b, meter)),
        (Value::Map(a), Value::Map(b)) => return meter.deeper(|| a.equals(b, meter)),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => return meter.deeper(|| equal(a, b, meter)),
            _ => false,
        },
        (Value::Object(a), Value::Object(b)) => {
            if a.ty.name() != b.ty.name() || a.fields.len() != b.fields.len() {
                return Ok(false);
            }
            for ((name, a), (other, b)) in a.fields.iter().zip(&b.fields) {
                if name != other || !meter.deeper(|| equal(a, b, meter))? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Library(a), Value::Library(b)) => equal_opaque(a, b),
        _ => order_numbers(a, b) == Some(Ordering::Equal),
    })
}

fn equal_opaque(a: &Opaque, b: &Opaque) -> bool {
    match (a, b) {
        (Opaque::Url(a), Opaque::Url(b)) => a.text == b.text,
        (Opaque::Ip(a), Opaque::Ip(b)) => a == b,
        (Opaque::Cidr(a, x), Opaque::Cidr(b, y)) => a == b && x == y,
        (Opaque::Quantity(a), Opaque::Quantity(b)) => a == b,
        (Opaque::Semver(a), Opaque::Semver(b)) => a.compare(b) == Ordering::Equal,
        (Opaque::Format(a), Opaque::Format(b)) => a.name == b.name,
        (Opaque::Authorizer(a), Opaque::Authorizer(b)) => a == b,
        (Opaque::PathCheck(a), Opaque::PathCheck(b)) | (Opaque::GroupCheck(a), Opaque::GroupCheck(b)) => {
            a == b
        }
        (Opaque::ResourceCheck(a), Opaque::ResourceCheck(b)) => a == b,
        (Opaque::Decision(a), Opaque::Decision(b)) => a == b,
        _ => false,
    }
}
