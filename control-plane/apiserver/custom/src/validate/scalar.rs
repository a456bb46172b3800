//! Types, strings and numbers.

use std::cmp::Ordering;

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

/// The type of a value, in the words of schemas.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) => match Num::of(number) {
            Num::Int(_) => "integer",
            Num::Float(_) => "number",
        },
    }
}

/// The format that upstream gives a value which has none by itself: the width of Go's numbers.
fn width_of(value: &Value) -> &'static str {
    match type_of(value) {
        "integer" => "int64",
        "number" => "float64",
        _ => "",
    }
}

fn wrong_type(at: &str, wanted: &str, found: &str, outcome: &mut Outcome) {
    let detail = format!("{at} in body must be of type {wanted}: {found:?}");
    outcome.add(at, Fault::TypeInvalid { value: found.into(), detail });
}

/// The type.
pub(super) fn check_type(node: Node<'_>, value: &Value, at: &str, outcome: &mut Outcome) {
    let has_opinion = !node.types().is_empty() || node.format().is_some() || value.is_null();
    match misfit(node, value) {
        Some((wanted, found)) => wrong_type(at, &wanted, found, outcome),
        None => outcome.fits += u64::from(has_opinion),
    }
}

/// What was wanted and what was found, where a value is of no type that is allowed. Where the schema names a format, a
/// misfit is told by it; texts and lists are left to the check of the format, which passes lists.
fn misfit(node: Node<'_>, value: &Value) -> Option<(String, &'static str)> {
    let types = node.types();
    let is_numeric = types.iter().any(|name| matches!(*name, "integer" | "number"));
    match (value, node.format()) {
        _ if accepts(node, value) => None,
        (Value::String(_) | Value::Array(_), Some(_)) if !is_numeric => None,
        (Value::Bool(_) | Value::Number(_) | Value::Object(_), Some(format)) => {
            Some((format.to_string(), width_of(value)))
        }
        _ if types.is_empty() => None,
        _ => Some((types.join(","), type_of(value))),
    }
}

/// Whether a value is of a type that is allowed by name.
fn accepts(node: Node<'_>, value: &Value) -> bool {
    let takes = |name: &&str| match (*name, value) {
        ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => Num::of(number).float().fract() == 0.0,
        (name, value) => name == type_of(value),
    };
    if value.is_null() { node.nullable() } else { node.types().iter().any(takes) }
}

/// The first of length and pattern that a text breaks.
pub(super) fn check_string(node: Node<'_>, text: &str, at: &str, patterns: &Patterns, outcome: &mut Outcome) {
    let fault = wrong_length(node, text, at).or_else(|| wrong_form(node, text, at, patterns));
    fault.into_iter().for_each(|fault| outcome.add(at, fault));
}

/// Lengths are counted in characters, though a text that is too long is told in bytes.
fn wrong_length(node: Node<'_>, text: &str, at: &str) -> Option<Fault> {
    let (max, min) = (node.count("maxLength"), node.count("minLength"));
    max.or(min)?;
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = max.filter(|max| length > *max) {
        return Some(Fault::TooLong { max_bytes: usize::try_from(max).unwrap_or_default() });
    }
    let min = min.filter(|min| length < *min)?;
    Some(invalid(text, format!("{at} in body should be at least {min} chars long")))
}

fn wrong_form(node: Node<'_>, text: &str, at: &str, patterns: &Patterns) -> Option<Fault> {
    let pattern = node.says("pattern")?.as_str().filter(|pattern| !pattern.is_empty())?;
    let told = match patterns.find(pattern) {
        Ok(regex) if regex.is_match(text) => return None,
        Ok(_) => pattern.to_string(),
        Err(fault) => format!("{pattern}, but pattern is invalid: {fault}"),
    };
    Some(invalid(text, format!("{at} in body should match '{told}'")))
}

pub(super) fn check_format(node: Node<'_>, text: &str, at: &str, outcome: &mut Outcome) {
    let Some(format) = node.format() else { return };
    if let Some(check) = super::formats::check_of(format)
        && !check(text)
    {
        wrong_type(at, format, text, outcome);
    }
}

/// A bound of numbers: the member that says it, the one that takes the bound itself away, on which side a number is beyond
/// it, and where it should be instead.
struct Limit {
    member: &'static str,
    exclusive: &'static str,
    beyond: Ordering,
    wanted: &'static str,
}

const LIMITS: [Limit; 2] = [
    Limit {
        member: "minimum",
        exclusive: "exclusiveMinimum",
        beyond: Ordering::Less,
        wanted: "greater than",
    },
    Limit {
        member: "maximum",
        exclusive: "exclusiveMaximum",
        beyond: Ordering::Greater,
        wanted: "less than",
    },
];

pub(super) fn check_number(node: Node<'_>, number: Num, at: &str, outcome: &mut Outcome) {
    check_range(node, number, at, outcome);
    if let Some(factor) = node.number("multipleOf") {
        check_multiple(number, factor, at, outcome);
    }
    for limit in &LIMITS {
        let Some(end) = node.number(limit.member) else { continue };
        let (order, exclusive) = (number.float().partial_cmp(&end), node.flag(limit.exclusive));
        if order == Some(limit.beyond) || (exclusive && order == Some(Ordering::Equal)) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let detail = format!("{at} in body should be {}{or_equal} {}", limit.wanted, bound(number, end));
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
            let (float, is_narrow) = (number.float(), format == "int32");
            let max = if is_narrow { f64::from(i32::MAX) } else { 9.3e18 };
            let in_range = float.abs() <= max || (is_narrow && float == f64::from(i32::MIN));
            ("integer", in_range && float.fract() == 0.0)
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
