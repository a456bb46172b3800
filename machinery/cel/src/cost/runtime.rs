//! What calls cost when they run.

use super::size::times;
use super::{CHECK, LIST, PER_REQUIREMENT, REGEX, REQUIREMENTS_PER_CHARACTER, TRAVERSAL, compares_bytes};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::value::{Opaque, Value};

/// The cost of a call, known before it runs. What depends on the result is in [`of_result`].
pub(crate) fn of_call(
    function: &str,
    overload: Option<&str>,
    args: &[Value<'_>],
    meter: &Meter,
) -> Result<u64, EvalError> {
    if let Some(cost) = of_extension(overload, args) {
        return Ok(cost);
    }
    let size = |at: usize| args.get(at).map_or(1, size_of);
    let text = |at: usize, factor: f64| times(size(at), factor * TRAVERSAL);
    Ok(match function {
        "check" => CHECK,
        "fieldSelector" | "labelSelector" => {
            let requirements = times(size(1), REQUIREMENTS_PER_CHARACTER);
            LIST + text(1, 1.0) + times(requirements, PER_REQUIREMENT)
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => match args.first() {
            Some(value) => traversal(value, meter)?,
            None => 0,
        },
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey" => text(0, 1.0),
        "replace" | "split" => text(0, 2.0),
        "join" => 0,
        "find" | "findAll" => regex(size(0), size(1)),
        "cidr" | "isIP" | "isCIDR" => text(0, 1.0),
        "ip" if overload == Some("cidr_ip") => 1,
        "ip" => text(0, 1.0),
        "ip.isCanonical" => text(0, 2.0),
        "containsIP" | "containsCIDR" => contained(function, overload, size(0), size(1)),
        "quantity" | "isQuantity" | "semver" | "isSemver" => text(0, 1.0),
        "validate" => match args.first() {
            Some(Value::Library(Opaque::Format(format))) => regex(size(1), format.regex_size),
            _ => 1,
        },
        "_==_" if matches!(args.first(), Some(Value::Library(_))) => 1,
        _ => of_standard(function, overload, size),
    })
}

/// The part of a call's cost that only its result tells.
pub(crate) fn of_result(function: &str, result: &Value<'_>) -> u64 {
    match function {
        "join" => times(size_of(result), 2.0 * TRAVERSAL),
        _ => 0,
    }
}

fn of_standard(function: &str, overload: Option<&str>, size: impl Fn(usize) -> u64) -> u64 {
    let id = match function {
        "_==_" => "equals",
        "_!=_" => "not_equals",
        _ => overload.unwrap_or_default(),
    };
    match id {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
        | "strings_quote" | "string_format" => times(size(0), TRAVERSAL),
        "in_list" => size(1),
        id if compares_bytes(id) => times(size(0).min(size(1)), TRAVERSAL),
        "add_string" | "add_bytes" => times(size(0) + size(1), TRAVERSAL),
        "matches_string" => regex(size(0), size(1)),
        "contains_string" => times(size(0), TRAVERSAL) * times(size(1), TRAVERSAL),
        _ => 1,
    }
}

fn size_of(value: &Value<'_>) -> u64 {
    value.cost_size()
}

fn regex(text: u64, pattern: u64) -> u64 {
    times(text + 1, TRAVERSAL) * times(pattern, REGEX)
}

fn contained(function: &str, overload: Option<&str>, block: u64, other: u64) -> u64 {
    let mut cost = times(block * 2, TRAVERSAL);
    if function == "containsCIDR" {
        cost += times(block, TRAVERSAL) + 1;
    }
    if matches!(overload, Some("cidr_contains_ip_string" | "cidr_contains_cidr_string")) {
        cost += times(other, TRAVERSAL);
    }
    cost
}

/// The extensions of lists and sets reckon for themselves, by overload.
fn of_extension(overload: Option<&str>, args: &[Value<'_>]) -> Option<u64> {
    let size = |at: usize| args.get(at).map_or(1, size_of);
    let sets = |factor: u64| 1 + size(0).saturating_mul(size(1)).saturating_mul(factor);
    let allocating = |factor: f64, size: u64| (size as f64 * factor) as u64 + 1 + LIST;
    let compared = |at: usize| {
        let count = size(at);
        let text = matches!(args.get(at), Some(Value::List(list)) if matches!(list.get(0), Some(Ok(Value::String(_) | Value::Bytes(_)))));
        allocating(if text { 2.0 + TRAVERSAL } else { 2.0 }, count.saturating_mul(count))
    };
    Some(match overload? {
        "list_sets_contains_list" | "list_sets_intersects_list" => sets(1),
        "list_sets_equivalent_list" => sets(2),
        "list_slice" => match args {
            [_, Value::Int(start), Value::Int(end)] => {
                allocating(1.0, end.saturating_sub(*start).max(0) as u64)
            }
            _ => return None,
        },
        "lists_range" => match args {
            [Value::Int(n)] => allocating(1.0, (*n).max(0) as u64),
            _ => return None,
        },
        "list_flatten" => allocating(1.0, size(0)),
        "list_flatten_int" => match args {
            [_, Value::Int(depth)] => allocating((*depth).max(0) as f64, size(0)),
            _ => return None,
        },
        "list_reverse" => allocating(1.0, size(0)),
        "list_distinct" => compared(0),
        id if id.ends_with("_sort") => compared(0),
        id if id.ends_with("_sortByAssociatedKeys") => compared(1),
        _ => return None,
    })
}

/// One for everything that is walked, a tenth for a byte.
fn traversal(value: &Value<'_>, meter: &Meter) -> Result<u64, EvalError> {
    meter.step(1)?;
    Ok(match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => {
            let mut cost = 0u64;
            for item in list.iter() {
                cost = cost.saturating_add(meter.deeper(|| traversal(&item?, meter))?);
            }
            cost
        }
        Value::Map(map) => {
            let mut cost = 0u64;
            for key in map.keys(meter)? {
                let value = map.require(&key)?;
                let entry =
                    traversal(&key, meter)?.saturating_add(meter.deeper(|| traversal(&value, meter))?);
                cost = cost.saturating_add(entry);
            }
            cost
        }
        _ => 1,
    })
}
