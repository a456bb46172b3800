//! `"%s has %d".format([…])`.

use crate::error::EvalError;
use crate::eval::Meter;
use crate::text;
use crate::time;
use crate::value::{List, Map, Value, shown};

/// More decimals than a double has are not useful; more than this are refused.
const PRECISION_MAX: usize = 1000;
const PRECISION: usize = 6;

pub(super) fn format(pattern: &str, values: &List<'_>, meter: &Meter) -> Result<String, EvalError> {
    let mut out = String::with_capacity(pattern.len());
    let mut next = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let Some(clause) = after.chars().next() else {
            return Err(EvalError::message("unexpected end of string"));
        };
        rest = &after[clause.len_utf8()..];
        let value =
            values.get(next).ok_or_else(|| EvalError::Message(format!("index {next} out of range")))??;
        next += 1;
        let text = clause_text(clause, precision, &value, meter).map_err(|error| {
            if error.is_fatal() {
                error
            } else {
                EvalError::Message(format!("error during formatting: {error}"))
            }
        })?;
        meter.make(out.len() + text.len())?;
        out.push_str(&text);
    }
    out.push_str(rest);
    Ok(out)
}

/// `.3`, if it is there.
fn precision(rest: &str) -> Result<(Option<usize>, &str), EvalError> {
    let Some(after) = rest.strip_prefix('.') else { return Ok((None, rest)) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let number = if digits == 0 { Some(PRECISION) } else { after[..digits].parse().ok() };
    match number.filter(|n| *n <= PRECISION_MAX) {
        Some(number) => Ok((Some(number), &after[digits..])),
        None => Err(EvalError::message("error while converting precision to integer: value out of range")),
    }
}

fn clause_text(
    clause: char,
    precision: Option<usize>,
    value: &Value<'_>,
    meter: &Meter,
) -> Result<String, EvalError> {
    let wrong = |what: &str| {
        EvalError::Message(format!(
            "{what} clause can only be used on {}, was given {}",
            wanted(clause),
            value.type_of().runtime_name()
        ))
    };
    match clause {
        's' => string(value, meter, false),
        'd' => match value {
            Value::Int(i) => Ok(i.to_string()),
            Value::Uint(u) => Ok(u.to_string()),
            Value::Double(d) if !d.is_finite() => Ok(text::double(*d)),
            _ => Err(wrong("decimal")),
        },
        'f' => number(value)
            .map(|d| fixed(d, precision.unwrap_or(PRECISION)))
            .ok_or_else(|| wrong("fixed-point")),
        'e' => number(value)
            .map(|d| scientific(d, precision.unwrap_or(PRECISION)))
            .ok_or_else(|| wrong("scientific")),
        'b' => match value {
            Value::Int(i) if *i < 0 => Ok(format!("-{:b}", i.unsigned_abs())),
            Value::Int(i) => Ok(format!("{i:b}")),
            Value::Uint(u) => Ok(format!("{u:b}")),
            Value::Bool(b) => Ok(u8::from(*b).to_string()),
            _ => Err(wrong("binary")),
        },
        'o' => match value {
            Value::Int(i) if *i < 0 => Ok(format!("-{:o}", i.unsigned_abs())),
            Value::Int(i) => Ok(format!("{i:o}")),
            Value::Uint(u) => Ok(format!("{u:o}")),
            _ => Err(wrong("octal")),
        },
        'x' | 'X' => {
            let lower = match value {
                Value::Int(i) if *i < 0 => format!("-{:x}", i.unsigned_abs()),
                Value::Int(i) => format!("{i:x}"),
                Value::Uint(u) => format!("{u:x}"),
                Value::String(s) => s.bytes().map(|b| format!("{b:02x}")).collect(),
                Value::Bytes(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
                _ => return Err(wrong("hex")),
            };
            Ok(if clause == 'X' { lower.to_uppercase() } else { lower })
        }
        other => Err(EvalError::Message(format!(
            "could not parse formatting clause: unrecognized formatting clause \"{other}\""
        ))),
    }
}

fn wanted(clause: char) -> &'static str {
    match clause {
        'd' | 'o' => "integers",
        'b' => "integers and bools",
        'x' | 'X' => "integers, byte buffers, and strings",
        _ => "doubles",
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::Int(i) => Some(*i as f64),
        Value::Uint(u) => Some(*u as f64),
        Value::String(s) => match &**s {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn infinite(d: f64) -> Option<&'static str> {
    if d.is_nan() {
        Some("NaN")
    } else if d.is_infinite() {
        Some(if d > 0.0 { "∞" } else { "-∞" })
    } else {
        None
    }
}

fn fixed(d: f64, precision: usize) -> String {
    infinite(d).map_or_else(|| format!("{d:.precision$}"), str::to_owned)
}

/// As upstream's locale writes it: `1.052033×10⁰³`.
fn scientific(d: f64, precision: usize) -> String {
    if let Some(name) = infinite(d) {
        return name.to_owned();
    }
    let text = format!("{d:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let raised: String = format!("{:02}", exponent.abs())
        .chars()
        .map(|c| {
            ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c.to_digit(10).unwrap_or_default() as usize]
        })
        .collect();
    format!("{digits}×10{}{raised}", if exponent < 0 { "⁻" } else { "" })
}

/// `%s` of anything; strings inside lists and maps are quoted.
fn string(value: &Value<'_>, meter: &Meter, inside: bool) -> Result<String, EvalError> {
    meter.step(1)?;
    Ok(match value {
        Value::String(s) if inside => text::quoted(s),
        Value::String(s) => s.to_string(),
        Value::Bytes(bytes) if inside => format!("b{}", text::quoted(&String::from_utf8_lossy(bytes))),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Double(d) if inside => fixed(*d, PRECISION),
        Value::Timestamp(t) if inside => format!("timestamp({})", text::quoted(&time::format_timestamp(*t))),
        Value::Timestamp(t) => time::format_timestamp(*t),
        Value::Duration(d) if inside => format!("duration({})", text::quoted(&time::format_duration(*d))),
        Value::Duration(d) => time::format_duration(*d),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Type(_) => {
            shown(value)
        }
        Value::List(list) => meter.deeper(|| list_text(list, meter))?,
        Value::Map(map) => meter.deeper(|| map_text(map, meter))?,
        other => {
            let name = other.type_of();
            return Err(EvalError::Message(format!(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {name}"
            )));
        }
    })
}

fn list_text(list: &List<'_>, meter: &Meter) -> Result<String, EvalError> {
    let mut out = String::from("[");
    for (index, item) in list.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        out.push_str(&string(&item?, meter, true)?);
        meter.make(out.len())?;
    }
    out.push(']');
    Ok(out)
}

/// Entries are sorted by their keys as they are printed.
fn map_text(map: &Map<'_>, meter: &Meter) -> Result<String, EvalError> {
    let mut entries = Vec::with_capacity(map.len());
    for key in map.keys(meter)? {
        entries.push((string(&key, meter, true)?, string(&map.require(&key)?, meter, true)?));
    }
    entries.sort();
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    Ok(format!("{{{}}}", entries.join(", ")))
}
