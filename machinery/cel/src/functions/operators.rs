//! Operators, sizes and membership.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::{Call, Function, Outcome, Row, Run, no_overload, row, signature};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::time::Instant;
use crate::value::{Value, compare, equal};

pub(super) const ROWS: &[Row] = &[
    row("_?_:_", &[("conditional", "bool, A, A -> A")], unreached),
    row("_&&_", &[("logical_and", "bool, bool -> bool")], unreached),
    row("_||_", &[("logical_or", "bool, bool -> bool")], unreached),
    row("_?._", &[("select_optional_field", "dyn, string -> optional(V)")], unreached),
    row(
        "_[?_]",
        &[
            ("list_optindex_optional_int", "list(V), int -> optional(V)"),
            ("optional_list_optindex_optional_int", "optional(list(V)), int -> optional(V)"),
            ("map_optindex_optional_value", "map(K, V), K -> optional(V)"),
            ("optional_map_optindex_optional_value", "optional(map(K, V)), K -> optional(V)"),
        ],
        unreached,
    ),
    row(
        "_[_]",
        &[
            ("index_list", "list(A), int -> A"),
            ("index_map", "map(A, B), A -> B"),
            ("optional_list_index_int", "optional(list(V)), int -> optional(V)"),
            ("optional_map_index_value", "optional(map(K, V)), K -> optional(V)"),
        ],
        unreached,
    ),
    row("!_", &[("logical_not", "bool -> bool")], |_, args| match args {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => no_overload(),
    }),
    row("@not_strictly_false", &[("not_strictly_false", "bool -> bool")], unreached),
    row("_==_", &[("equals", "A, A -> bool")], |call, args| {
        Ok(Value::Bool(equal(&args[0], &args[1], call.meter)?))
    }),
    row("_!=_", &[("not_equals", "A, A -> bool")], |call, args| {
        Ok(Value::Bool(!equal(&args[0], &args[1], call.meter)?))
    }),
    row(
        "_+_",
        &[
            ("add_bytes", "bytes, bytes -> bytes"),
            ("add_double", "double, double -> double"),
            ("add_duration_duration", "duration, duration -> duration"),
            ("add_duration_timestamp", "duration, timestamp -> timestamp"),
            ("add_timestamp_duration", "timestamp, duration -> timestamp"),
            ("add_int64", "int, int -> int"),
            ("add_list", "list(A), list(A) -> list(A)"),
            ("add_string", "string, string -> string"),
            ("add_uint64", "uint, uint -> uint"),
        ],
        |call, args| add(args[0].clone(), &args[1], call.meter),
    ),
    row(
        "_-_",
        &[
            ("subtract_double", "double, double -> double"),
            ("subtract_duration_duration", "duration, duration -> duration"),
            ("subtract_int64", "int, int -> int"),
            ("subtract_timestamp_duration", "timestamp, duration -> timestamp"),
            ("subtract_timestamp_timestamp", "timestamp, timestamp -> duration"),
            ("subtract_uint64", "uint, uint -> uint"),
        ],
        subtract,
    ),
    row(
        "_*_",
        &[
            ("multiply_double", "double, double -> double"),
            ("multiply_int64", "int, int -> int"),
            ("multiply_uint64", "uint, uint -> uint"),
        ],
        |_, args| match args {
            [Value::Int(a), Value::Int(b)] => {
                a.checked_mul(*b).map(Value::Int).ok_or(EvalError::IntegerOverflow)
            }
            [Value::Uint(a), Value::Uint(b)] => {
                a.checked_mul(*b).map(Value::Uint).ok_or(EvalError::UintOverflow)
            }
            [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
            _ => no_overload(),
        },
    ),
    row(
        "_/_",
        &[
            ("divide_double", "double, double -> double"),
            ("divide_int64", "int, int -> int"),
            ("divide_uint64", "uint, uint -> uint"),
        ],
        |_, args| match args {
            [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
                Err(EvalError::DivisionByZero)
            }
            [Value::Int(a), Value::Int(b)] => {
                a.checked_div(*b).map(Value::Int).ok_or(EvalError::IntegerOverflow)
            }
            [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a / b)),
            [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
            _ => no_overload(),
        },
    ),
    row("_%_", &[("modulo_int64", "int, int -> int"), ("modulo_uint64", "uint, uint -> uint")], |_, args| {
        match args {
            [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
                Err(EvalError::ModulusByZero)
            }
            [Value::Int(a), Value::Int(b)] => {
                a.checked_rem(*b).map(Value::Int).ok_or(EvalError::IntegerOverflow)
            }
            [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a % b)),
            _ => no_overload(),
        }
    }),
    row(
        "-_",
        &[("negate_double", "double -> double"), ("negate_int64", "int -> int")],
        |_, args| match args {
            [Value::Int(a)] => a.checked_neg().map(Value::Int).ok_or(EvalError::IntegerOverflow),
            [Value::Double(a)] => Ok(Value::Double(-a)),
            _ => no_overload(),
        },
    ),
    row("@in", &[("in_list", "A, list(A) -> bool"), ("in_map", "A, map(A, B) -> bool")], |call, args| {
        member_of(&args[0], &args[1], call.meter).map(Value::Bool)
    }),
    row(
        "size",
        &[
            ("size_bytes", "bytes -> int"),
            ("bytes_size", ".bytes -> int"),
            ("size_list", "list(A) -> int"),
            ("list_size", ".list(A) -> int"),
            ("size_map", "map(A, B) -> int"),
            ("map_size", ".map(A, B) -> int"),
            ("size_string", "string -> int"),
            ("string_size", ".string -> int"),
        ],
        |_, args| match &args[0] {
            sized @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_)) => {
                Ok(Value::Int(sized.size().unwrap_or_default() as i64))
            }
            _ => no_overload(),
        },
    ),
    row(
        "cel.@mapInsert",
        &[
            ("@mapInsert_map_key_value", "map(K, V), K, V -> map(K, V)"),
            ("@mapInsert_map_map", "map(K, V), map(K, V) -> map(K, V)"),
        ],
        |call, args| insert(args[0].clone(), &args[1..], call.meter),
    ),
];

/// These do not evaluate all their arguments; the evaluator knows them.
fn unreached<'a>(_: &Call<'_, 'a>, _: &[Value<'a>]) -> Outcome<'a> {
    no_overload()
}

const COMPARED: [(&str, &str); 14] = [
    ("bool", "bool, bool -> bool"),
    ("int64", "int, int -> bool"),
    ("int64_double", "int, double -> bool"),
    ("int64_uint64", "int, uint -> bool"),
    ("uint64", "uint, uint -> bool"),
    ("uint64_double", "uint, double -> bool"),
    ("uint64_int64", "uint, int -> bool"),
    ("double", "double, double -> bool"),
    ("double_int64", "double, int -> bool"),
    ("double_uint64", "double, uint -> bool"),
    ("string", "string, string -> bool"),
    ("bytes", "bytes, bytes -> bool"),
    ("timestamp", "timestamp, timestamp -> bool"),
    ("duration", "duration, duration -> bool"),
];

/// `<`, `<=`, `>` and `>=`, each for the same pairs of types.
pub(super) fn add_comparisons(table: &mut HashMap<&'static str, Function>) {
    let operators: [(&'static str, &str, Run); 4] = [
        ("_<_", "less", Run(|_, args| Ok(Value::Bool(compare(&args[0], &args[1])? == Ordering::Less)))),
        (
            "_<=_",
            "less_equals",
            Run(|_, args| Ok(Value::Bool(compare(&args[0], &args[1])? != Ordering::Greater))),
        ),
        ("_>_", "greater", Run(|_, args| Ok(Value::Bool(compare(&args[0], &args[1])? == Ordering::Greater)))),
        (
            "_>=_",
            "greater_equals",
            Run(|_, args| Ok(Value::Bool(compare(&args[0], &args[1])? != Ordering::Less))),
        ),
    ];
    for (name, id, run) in operators {
        let overloads = COMPARED
            .iter()
            .map(|(types, text)| signature::parse(String::leak(format!("{id}_{types}")), text))
            .collect();
        table.insert(name, Function { name, overloads, run, mutation: false });
    }
}

/// `a + b`. Takes the first, so that a list under construction grows in place.
pub(crate) fn add<'a>(a: Value<'a>, b: &Value<'a>, meter: &Meter) -> Outcome<'a> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or(EvalError::IntegerOverflow),
        (Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint).ok_or(EvalError::UintOverflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            meter.make(a.len() + b.len())?;
            Ok(Value::from([&*a, &**b].concat()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.make(a.len() + b.len())?;
            Ok(Value::Bytes([&*a, &**b].concat().into()))
        }
        (Value::List(a), Value::List(b)) => a.plus(b, meter).map(Value::List),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or(EvalError::DurationOverflow)
        }
        (Value::Timestamp(t), Value::Duration(d)) => later(t, i128::from(*d)),
        (Value::Duration(d), Value::Timestamp(t)) => later(*t, i128::from(d)),
        _ => no_overload(),
    }
}

fn later<'a>(instant: Instant, nanos: i128) -> Outcome<'a> {
    instant.plus(nanos).map(Value::Timestamp).ok_or(EvalError::TimestampOverflow)
}

fn subtract<'a>(_: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_sub(*b).map(Value::Int).ok_or(EvalError::IntegerOverflow),
        [Value::Uint(a), Value::Uint(b)] => a.checked_sub(*b).map(Value::Uint).ok_or(EvalError::UintOverflow),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Duration(a), Value::Duration(b)] => {
            a.checked_sub(*b).map(Value::Duration).ok_or(EvalError::DurationOverflow)
        }
        [Value::Timestamp(t), Value::Duration(d)] => later(*t, -i128::from(*d)),
        [Value::Timestamp(a), Value::Timestamp(b)] => i64::try_from(a.nanoseconds() - b.nanoseconds())
            .map(Value::Duration)
            .map_err(|_| EvalError::DurationOverflow),
        _ => no_overload(),
    }
}

/// `value in of`
pub(crate) fn member_of<'a>(value: &Value<'a>, of: &Value<'a>, meter: &Meter) -> Result<bool, EvalError> {
    match of {
        Value::List(list) => list.contains(value, meter),
        Value::Map(map) => Ok(map.get(value)?.is_some()),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// A map with one entry more, or with all of another map's.
pub(crate) fn insert<'a>(map: Value<'a>, entries: &[Value<'a>], meter: &Meter) -> Outcome<'a> {
    let Value::Map(mut map) = map else { return no_overload() };
    match entries {
        [key, value] => map.insert(key, value.clone(), meter).map(Value::Map),
        [Value::Map(more)] => {
            for key in more.keys(meter)? {
                let value = more.require(&key)?;
                map = map.insert(&key, value, meter)?;
            }
            Ok(Value::Map(map))
        }
        _ => no_overload(),
    }
}
