//! Conversions between types.

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::text;
use crate::time::{self, Instant};
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("type", &[("type", "A -> type(A)")], |_, args| Ok(Value::Type(args[0].type_of()))),
    row("dyn", &[("to_dyn", "A -> dyn")], |_, args| Ok(args[0].clone())),
    row("bool", &[("bool_to_bool", "bool -> bool"), ("string_to_bool", "string -> bool")], |_, args| {
        match &args[0] {
            Value::Bool(b) => Ok(Value::Bool(*b)),
            Value::String(s) => match &**s {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
                _ => Err(cannot("string", "bool")),
            },
            _ => no_overload(),
        }
    }),
    row(
        "bytes",
        &[("bytes_to_bytes", "bytes -> bytes"), ("string_to_bytes", "string -> bytes")],
        |_, args| match &args[0] {
            Value::Bytes(b) => Ok(Value::Bytes(b.clone())),
            Value::String(s) => Ok(Value::Bytes(s.as_bytes().into())),
            _ => no_overload(),
        },
    ),
    row(
        "double",
        &[
            ("double_to_double", "double -> double"),
            ("int64_to_double", "int -> double"),
            ("string_to_double", "string -> double"),
            ("uint64_to_double", "uint -> double"),
        ],
        |_, args| match &args[0] {
            Value::Double(d) => Ok(Value::Double(*d)),
            Value::Int(i) => Ok(Value::Double(*i as f64)),
            Value::Uint(u) => Ok(Value::Double(*u as f64)),
            Value::String(s) => parse_double(s).map(Value::Double).ok_or_else(|| cannot("string", "double")),
            _ => no_overload(),
        },
    ),
    row(
        "duration",
        &[
            ("duration_to_duration", "duration -> duration"),
            ("int64_to_duration", "int -> duration"),
            ("string_to_duration", "string -> duration"),
        ],
        |_, args| match &args[0] {
            Value::Duration(d) | Value::Int(d) => Ok(Value::Duration(*d)),
            Value::String(s) => time::parse_duration(s)
                .map(Value::Duration)
                .map_err(|_| cannot("string", "google.protobuf.Duration")),
            _ => no_overload(),
        },
    ),
    row(
        "int",
        &[
            ("int64_to_int64", "int -> int"),
            ("double_to_int64", "double -> int"),
            ("duration_to_int64", "duration -> int"),
            ("string_to_int64", "string -> int"),
            ("timestamp_to_int64", "timestamp -> int"),
            ("uint64_to_int64", "uint -> int"),
        ],
        |_, args| match &args[0] {
            Value::Int(i) | Value::Duration(i) => Ok(Value::Int(*i)),
            Value::Uint(u) => i64::try_from(*u).map(Value::Int).map_err(|_| EvalError::IntegerOverflow),
            Value::Double(d) if *d > -9.223_372_036_854_775e18 && *d < 9.223_372_036_854_775e18 => {
                Ok(Value::Int(*d as i64))
            }
            Value::Double(_) => Err(EvalError::IntegerOverflow),
            Value::Timestamp(t) => Ok(Value::Int(t.seconds())),
            Value::String(s) => s.parse().map(Value::Int).map_err(|_| cannot("string", "int")),
            _ => no_overload(),
        },
    ),
    row(
        "uint",
        &[
            ("uint64_to_uint64", "uint -> uint"),
            ("double_to_uint64", "double -> uint"),
            ("int64_to_uint64", "int -> uint"),
            ("string_to_uint64", "string -> uint"),
        ],
        |_, args| match &args[0] {
            Value::Uint(u) => Ok(Value::Uint(*u)),
            Value::Int(i) => u64::try_from(*i).map(Value::Uint).map_err(|_| EvalError::UintOverflow),
            Value::Double(d) if *d >= 0.0 && *d < 1.844_674_407_370_955e19 => Ok(Value::Uint(*d as u64)),
            Value::Double(_) => Err(EvalError::UintOverflow),
            Value::String(s) if !s.starts_with('+') => {
                s.parse().map(Value::Uint).map_err(|_| cannot("string", "uint"))
            }
            Value::String(_) => Err(cannot("string", "uint")),
            _ => no_overload(),
        },
    ),
    row(
        "string",
        &[
            ("string_to_string", "string -> string"),
            ("bool_to_string", "bool -> string"),
            ("bytes_to_string", "bytes -> string"),
            ("double_to_string", "double -> string"),
            ("duration_to_string", "duration -> string"),
            ("int64_to_string", "int -> string"),
            ("timestamp_to_string", "timestamp -> string"),
            ("uint64_to_string", "uint -> string"),
            ("ip_to_string", "IP -> string"),
            ("cidr_to_string", "CIDR -> string"),
        ],
        |_, args| string(&args[0]),
    ),
    row(
        "timestamp",
        &[
            ("timestamp_to_timestamp", "timestamp -> timestamp"),
            ("int64_to_timestamp", "int -> timestamp"),
            ("string_to_timestamp", "string -> timestamp"),
        ],
        |_, args| {
            let instant = match &args[0] {
                Value::Timestamp(t) => *t,
                Value::Int(seconds) => Instant::from_seconds(*seconds).ok_or(EvalError::TimestampOverflow)?,
                Value::String(s) => {
                    time::parse_timestamp(s).map_err(|_| cannot("string", "google.protobuf.Timestamp"))?
                }
                _ => return no_overload(),
            };
            Ok(Value::Timestamp(instant))
        },
    ),
];

/// The conversions that a written argument lets happen beforehand.
pub(crate) fn is_conversion(name: &str) -> bool {
    matches!(
        name,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    )
}

fn cannot(from: &str, to: &str) -> EvalError {
    EvalError::Message(format!("type conversion error from '{from}' to '{to}'"))
}

/// Go's numbers: no blanks, and infinity by its names.
fn parse_double(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A value as `string(x)` gives it.
pub(super) fn string<'a>(value: &Value<'a>) -> Outcome<'a> {
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(b) => Value::from(b.to_string()),
        Value::Int(i) => Value::from(i.to_string()),
        Value::Uint(u) => Value::from(u.to_string()),
        Value::Double(d) => Value::from(text::double(*d)),
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| EvalError::message("invalid UTF-8 in bytes, cannot convert to string"))?;
            Value::text(text)
        }
        Value::Timestamp(t) => Value::from(time::format_timestamp(*t)),
        Value::Duration(d) => Value::from(time::format_duration(*d)),
        Value::Library(Opaque::Ip(ip)) => Value::from(ip.to_string()),
        Value::Library(Opaque::Cidr(ip, prefix)) => Value::from(format!("{ip}/{prefix}")),
        _ => return no_overload(),
    })
}
