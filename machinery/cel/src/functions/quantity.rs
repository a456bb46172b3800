//! Quantities: `quantity("1.5Gi")`.

use std::cmp::Ordering;

use oarlock_api::quantity::{Format, Quantity};

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("quantity", &[("string_to_quantity", "string -> Quantity")], |_, args| match &args[0] {
        Value::String(text) => {
            Quantity::parse(text).map(of).map_err(|error| EvalError::Message(error.to_string()))
        }
        _ => no_overload(),
    }),
    row("isQuantity", &[("is_quantity_string", "string -> bool")], |_, args| match &args[0] {
        Value::String(text) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        _ => no_overload(),
    }),
    // Upstream declares this one as a global function.
    row("sign", &[("quantity_sign", "Quantity -> int")], |_, args| {
        one(args, |q| Ok(Value::Int(i64::from(!q.is_zero()) * if q.is_negative() { -1 } else { 1 })))
    }),
    row("asApproximateFloat", &[("quantity_get_float", ".Quantity -> double")], |_, args| {
        one(args, |q| Ok(Value::Double(q.as_f64())))
    }),
    row("asInteger", &[("quantity_get_int", ".Quantity -> int")], |_, args| {
        one(args, |q| match whole(q) {
            Some(whole) => Ok(Value::Int(whole)),
            None => Err(EvalError::message("cannot convert value to integer")),
        })
    }),
    row("isInteger", &[("quantity_is_integer", ".Quantity -> bool")], |_, args| {
        one(args, |q| Ok(Value::Bool(whole(q).is_some())))
    }),
    row(
        "add",
        &[
            ("quantity_add", ".Quantity, Quantity -> Quantity"),
            ("quantity_add_int", ".Quantity, int -> Quantity"),
        ],
        |_, args| two(args, |a, b| a + b),
    ),
    row(
        "sub",
        &[
            ("quantity_sub", ".Quantity, Quantity -> Quantity"),
            ("quantity_sub_int", ".Quantity, int -> Quantity"),
        ],
        |_, args| two(args, |a, b| a - b),
    ),
    row(
        "isGreaterThan",
        &[
            ("quantity_is_greater_than", ".Quantity, Quantity -> bool"),
            ("semver_is_greater_than", ".Semver, Semver -> bool"),
        ],
        |_, args| order(args).map(|order| Value::Bool(order == Ordering::Greater)),
    ),
    row(
        "isLessThan",
        &[
            ("quantity_is_less_than", ".Quantity, Quantity -> bool"),
            ("semver_is_less_than", ".Semver, Semver -> bool"),
        ],
        |_, args| order(args).map(|order| Value::Bool(order == Ordering::Less)),
    ),
    row(
        "compareTo",
        &[
            ("quantity_compare_to", ".Quantity, Quantity -> int"),
            ("semver_compare_to", ".Semver, Semver -> int"),
        ],
        |_, args| order(args).map(|order| Value::Int(order as i64)),
    ),
];

fn of<'a>(quantity: Quantity) -> Value<'a> {
    Value::Library(Opaque::Quantity(quantity))
}

/// The value, if it is a whole number that fits.
fn whole(quantity: &Quantity) -> Option<i64> {
    let whole = quantity.value();
    (Quantity::new(whole, Format::DecimalSi) == *quantity).then_some(whole)
}

fn one<'a>(args: &[Value<'a>], run: impl Fn(&Quantity) -> Outcome<'a>) -> Outcome<'a> {
    match args {
        [Value::Library(Opaque::Quantity(quantity))] => run(quantity),
        _ => no_overload(),
    }
}

fn two<'a>(args: &[Value<'a>], run: impl Fn(Quantity, Quantity) -> Quantity) -> Outcome<'a> {
    match args {
        [Value::Library(Opaque::Quantity(a)), Value::Library(Opaque::Quantity(b))] => Ok(of(run(*a, *b))),
        [Value::Library(Opaque::Quantity(a)), Value::Int(b)] => {
            Ok(of(run(*a, Quantity::new(*b, Format::DecimalExponent))))
        }
        _ => no_overload(),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    match args {
        [Value::Library(Opaque::Quantity(a)), Value::Library(Opaque::Quantity(b))] => Ok(a.cmp(b)),
        [Value::Library(Opaque::Semver(a)), Value::Library(Opaque::Semver(b))] => Ok(a.compare(b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}
