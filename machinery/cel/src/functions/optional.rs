//! Optional values.

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::value::{Value, shown};

pub(super) const ROWS: &[Row] = &[
    row("optional.of", &[("optional_of", "V -> optional(V)")], |_, args| {
        Ok(Value::optional(Some(args[0].clone())))
    }),
    row("optional.ofNonZeroValue", &[("optional_ofNonZeroValue", "V -> optional(V)")], |_, args| {
        Ok(Value::optional(Some(args[0].clone()).filter(|value| !value.is_zero())))
    }),
    row("optional.none", &[("optional_none", "-> optional(V)")], |_, _| Ok(Value::Optional(None))),
    row("value", &[("optional_value", ".optional(V) -> V")], |_, args| match &args[0] {
        Value::Optional(Some(inside)) => Ok((**inside).clone()),
        Value::Optional(None) => Err(EvalError::message("optional.none() dereference")),
        _ => no_overload(),
    }),
    row("hasValue", &[("optional_hasValue", ".optional(V) -> bool")], |_, args| match &args[0] {
        Value::Optional(inside) => Ok(Value::Bool(inside.is_some())),
        _ => no_overload(),
    }),
    // The evaluator runs these two, so that the second argument need not be evaluated.
    row("or", &[("optional_or_optional", ".optional(V), optional(V) -> optional(V)")], |_, _| no_overload()),
    row("orValue", &[("optional_orValue_value", ".optional(V), V -> V")], |_, _| no_overload()),
    row("first", &[("list_first", ".list(V) -> optional(V)")], |_, args| match &args[0] {
        Value::List(list) => Ok(Value::optional(list.get(0).transpose()?)),
        _ => no_overload(),
    }),
    row("last", &[("list_last", ".list(V) -> optional(V)")], |_, args| match &args[0] {
        Value::List(list) => {
            Ok(Value::optional(list.len().checked_sub(1).and_then(|at| list.get(at)).transpose()?))
        }
        _ => no_overload(),
    }),
    row("optional.unwrap", &[("optional_unwrap", "list(optional(V)) -> list(V)")], |_, args| unwrap(args)),
    row("unwrapOpt", &[("optional_unwrapOpt", ".list(optional(V)) -> list(V)")], |_, args| unwrap(args)),
];

fn unwrap<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return no_overload() };
    let mut values = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(Some(inside)) => values.push((*inside).clone()),
            Value::Optional(None) => {}
            other => return Err(EvalError::Message(format!("value {} is not optional", shown(&other)))),
        }
    }
    Ok(Value::list(values))
}
