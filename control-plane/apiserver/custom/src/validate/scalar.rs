//! Types, strings and numbers.

use oarlock_api::field::Fault;
use serde_json::{Number, Value};

use super::node::Node;
use super::outcome::Outcome;
use super::patterns::Patterns;

pub(super) fn invalid(value: impl Into<Value>, detail: String) -> Fault {
    Fault::Invalid { value: value.into(), detail }
}

/// A number as Go reads it: integral where it fits 64 bits with a sign.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        match number.as_i64() {
            Some(int) => Self::Int(int),
            None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    fn float(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "upstream compares as floats too")]
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Int(int) => int.into(),
            Self::Float(float) => float.into(),
        }
    }
}

/// Type and format of a value, in the words of schemas.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Number(number) => match Num::of(number) {
            Num::Int(_) => ("integer", "int64"),
            Num::Float(_) => ("number", "float64"),
        },
    }
}

fn wrong_type(at: &str, wanted: &str, found: &str, outcome: &mut Outcome) {
    let detail = format!("{at} in body must be of type {wanted}: {found:?}");
    outcome.add(at, Fault::TypeInvalid { value: found.into(), detail });
}

/// The type; false where it is wrong.
pub(super) fn check_type(node: Node<'_>, value: &Value, at: &str, outcome: &mut Outcome) {
    let (types, format) = (node.types(), node.format().unwrap_or_default());
    if types.is_empty() && format.is_empty() && !value.is_null() {
        return;
    }
    let (found, found_format) = type_of(value);
    let before = outcome.problems.len();
    if value.is_null() {
        if !types.is_empty() && !node.nullable() {
            wrong_type(at, &types.join(","), found, outcome);
        }
    } else {
        let allowed = |name: &str| types.contains(&name);
        let integral = matches!(value, Value::Number(n) if Num::of(n).float().fract() == 0.0);
        let fits = allowed(found)
            || (found == "number" && integral && allowed("integer"))
            || (found == "integer" && allowed("number"));
        let framed = matches!(value, Value::String(_) | Value::Array(_));
        if !framed && !format.is_empty() && !fits && found_format != format {
            wrong_type(at, format, found_format, outcome);
        } else if framed && !format.is_empty() && !allowed("number") && !allowed("integer") {
            // The format decides.
        } else if !fits && !types.is_empty() {
            wrong_type(at, &types.join(","), found, outcome);
        }
    }
    if outcome.problems.len() == before {
        outcome.fits += 1;
    }
}

pub(super) fn check_string(node: Node<'_>, text: &str, at: &str, patterns: &Patterns, outcome: &mut Outcome) {
    let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = node.count("maxLength")
        && length() > max
    {
        outcome.add(at, Fault::TooLong { max_bytes: usize::try_from(max).unwrap_or_default() });
        return;
    }
    if let Some(min) = node.count("minLength")
        && length() < min
    {
        outcome.add(at, invalid(text, format!("{at} in body should be at least {min} chars long")));
        return;
    }
    if let Some(pattern) = node.says("pattern").and_then(Value::as_str)
        && !pattern.is_empty()
    {
        match patterns.find(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => outcome.add(at, invalid(text, format!("{at} in body should match '{pattern}'"))),
            Err(fault) => {
                let told = format!("{pattern}, but pattern is invalid: {fault}");
                outcome.add(at, invalid(text, format!("{at} in body should match '{told}'")));
            }
        }
    }
}

pub(super) fn check_format(node: Node<'_>, text: &str, at: &str, outcome: &mut Outcome) {
    let Some(format) = node.format() else { return };
    if let Some(check) = super::formats::check_of(format)
        && !check(text)
    {
        wrong_type(at, format, text, outcome);
    }
}

pub(super) fn check_number(node: Node<'_>, number: Num, at: &str, outcome: &mut Outcome) {
    check_range(node, number, at, outcome);
    if let Some(factor) = node.number("multipleOf") {
        check_multiple(number, factor, at, outcome);
    }
    if let Some(min) = node.number("minimum") {
        let exclusive = node.flag("exclusiveMinimum");
        let fails = if exclusive { number.float() <= min } else { number.float() < min };
        if fails {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            let detail = format!("{at} in body should be {words} {}", bound(number, min));
            outcome.add(at, invalid(number.value(), detail));
        }
    }
    if let Some(max) = node.number("maximum") {
        let exclusive = node.flag("exclusiveMaximum");
        let fails = if exclusive { number.float() >= max } else { number.float() > max };
        if fails {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            let detail = format!("{at} in body should be {words} {}", bound(number, max));
            outcome.add(at, invalid(number.value(), detail));
        }
    }
    outcome.fits += 1;
}

/// Whether the number fits its type's format.
fn check_range(node: Node<'_>, number: Num, at: &str, outcome: &mut Outcome) {
    let format = node.format().unwrap_or_default();
    let (kind, fits) = match node.types() {
        ["integer"] => {
            let max = if format == "int32" { f64::from(i32::MAX) } else { 9.3e18 };
            (
                "integer",
                number.float().abs() <= max || (format == "int32" && number.float() == f64::from(i32::MIN)),
            )
        }
        ["number"] => ("number", format != "float" || number.float().abs() <= f64::from(f32::MAX)),
        _ => return,
    };
    if !fits {
        let told =
            if format.is_empty() { "(default format)".to_string() } else { format!("with format {format}") };
        outcome.add_general(format!("Checked value must be of type {kind} {told} in {at}"));
    }
}

fn check_multiple(number: Num, factor: f64, at: &str, outcome: &mut Outcome) {
    if factor <= 0.0 {
        let detail = format!("factor MultipleOf declared for {at} must be positive: {}", printed(factor));
        outcome.add(at, invalid(factor, detail));
        return;
    }
    let fits = match number {
        #[expect(clippy::cast_possible_truncation, reason = "upstream truncates the factor of integers")]
        Num::Int(int) if factor as i64 != 0 => int % (factor as i64) == 0,
        _ => {
            let times = if factor < 1.0 { 1.0 / factor * number.float() } else { number.float() / factor };
            (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
        }
    };
    if !fits {
        let detail = format!("{at} in body should be a multiple of {}", bound(number, factor));
        outcome.add(at, invalid(number.value(), detail));
    }
}

/// A bound as it is told beside a number: an integer beside integers.
fn bound(number: Num, bound: f64) -> String {
    match number {
        Num::Int(_) => format!("{:.0}", bound.trunc()),
        Num::Float(_) => printed(bound),
    }
}

/// As Go's `%v`.
fn printed(float: f64) -> String {
    let exponent = if float == 0.0 { 0.0 } else { float.abs().log10().floor() };
    if (-4.0..21.0).contains(&exponent) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Whether a value is among those of an `enum`: numbers are compared by value, and upstream finds no null.
pub(super) fn is_one_of(value: &Value, allowed: &[Value]) -> bool {
    allowed.iter().any(|one| match (value, one) {
        (Value::Null, _) => false,
        (Value::Number(a), Value::Number(b)) => Num::of(a).float() == Num::of(b).float(),
        _ => value == one,
    })
}
