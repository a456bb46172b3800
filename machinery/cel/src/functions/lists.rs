//! Lists and sets: Kubernetes' own functions, and the lists and sets extensions.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::{Call, Function, Outcome, Row, Run, no_overload, operators, row, signature};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::types::Type;
use crate::value::{List, Value, compare, equal};

pub(super) const ROWS: &[Row] = &[
    row("slice", &[("list_slice", ".list(T), int, int -> list(T)")], slice),
    row(
        "flatten",
        &[
            ("list_flatten", ".list(list(T)) -> list(T)"),
            ("list_flatten_int", ".list(dyn), int -> list(dyn)"),
        ],
        |call, args| {
            let (list, depth) = match args {
                [Value::List(list)] => (list, 1),
                [Value::List(list), Value::Int(depth)] => (list, *depth),
                _ => return no_overload(),
            };
            if depth < 0 {
                return Err(EvalError::message("level must be non-negative"));
            }
            let mut flat = Vec::new();
            flatten(list, depth, &mut flat, call.meter)?;
            Ok(Value::list(flat))
        },
    ),
    row("lists.range", &[("lists_range", "int -> list(int)")], |call, args| {
        let [Value::Int(n)] = args else { return no_overload() };
        let n = usize::try_from(*n).unwrap_or_default();
        call.meter.afford(n as u64)?;
        call.meter.hold(n)?;
        Ok(Value::list((0..n as i64).map(Value::Int).collect()))
    }),
    row("reverse", &[("list_reverse", ".list(T) -> list(T)")], |call, args| {
        let [Value::List(list)] = args else { return no_overload() };
        let mut values = list.values(call.meter)?;
        values.reverse();
        Ok(Value::list(values))
    }),
    row("distinct", &[("list_distinct", ".list(T) -> list(T)")], |call, args| {
        let [Value::List(list)] = args else { return no_overload() };
        call.meter.afford((list.len() as u64).saturating_mul(list.len() as u64))?;
        let mut unique: Vec<Value<'_>> = Vec::new();
        'items: for item in list.values(call.meter)? {
            for known in &unique {
                if equal(known, &item, call.meter)? {
                    continue 'items;
                }
            }
            unique.push(item);
        }
        Ok(Value::list(unique))
    }),
    row("sets.contains", &[("list_sets_contains_list", "list(T), list(T) -> bool")], |call, args| {
        let [Value::List(a), Value::List(b)] = args else { return no_overload() };
        contains(a, b, call.meter).map(Value::Bool)
    }),
    row("sets.equivalent", &[("list_sets_equivalent_list", "list(T), list(T) -> bool")], |call, args| {
        let [Value::List(a), Value::List(b)] = args else { return no_overload() };
        Ok(Value::Bool(contains(a, b, call.meter)? && contains(b, a, call.meter)?))
    }),
    row("sets.intersects", &[("list_sets_intersects_list", "list(T), list(T) -> bool")], |call, args| {
        let [Value::List(a), Value::List(b)] = args else { return no_overload() };
        for item in a.iter() {
            if b.contains(&item?, call.meter)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
];

/// Types with an order, and how their overloads call them.
const ORDERED: [(&str, &str); 8] = [
    ("int", "int"),
    ("uint", "uint"),
    ("double", "double"),
    ("bool", "bool"),
    ("duration", "google.protobuf.Duration"),
    ("timestamp", "google.protobuf.Timestamp"),
    ("string", "string"),
    ("bytes", "bytes"),
];

/// `isSorted`, `min`, `max`, `sum`, `sort` and `sortBy`, each for the types that have an order (or a sum).
pub(super) fn add_comparable(table: &mut HashMap<&'static str, Function>) {
    let of = |id: &str, text: &str| {
        ORDERED
            .iter()
            .map(|(ty, name)| signature::parse(String::leak(id.replace('*', name)), &text.replace('*', ty)))
            .collect::<Vec<_>>()
    };
    let mut sums = of("list_*_sum_*", ".list(*) -> *");
    sums.retain(|sum| ["int", "uint", "double", "duration"].contains(&sum.result.to_string().as_str()));
    let rows: [(&'static str, Vec<super::Overload>, Run); 6] = [
        ("isSorted", of("list_*_is_sorted_bool", ".list(*) -> bool"), Run(is_sorted)),
        (
            "min",
            of("list_*_min_*", ".list(*) -> *"),
            Run(|call, args| extreme(call, args, Ordering::Less, "min")),
        ),
        (
            "max",
            of("list_*_max_*", ".list(*) -> *"),
            Run(|call, args| extreme(call, args, Ordering::Greater, "max")),
        ),
        ("sum", sums, Run(sum)),
        ("sort", of("list_*_sort", ".list(*) -> list(*)"), Run(|call, args| sort(call, args, args))),
        (
            "@sortByAssociatedKeys",
            of("list_*_sortByAssociatedKeys", ".list(T), list(*) -> list(T)"),
            Run(|call, args| sort(call, args, &args[1..])),
        ),
    ];
    for (name, overloads, run) in rows {
        table.insert(name, Function { name, overloads, run, mutation: false });
    }
}

fn slice<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else { return no_overload() };
    let cannot = |why: String| Err(EvalError::Message(format!("cannot slice({start}, {end}), {why}")));
    if *start < 0 || *end < 0 {
        return cannot("negative indexes not supported".to_owned());
    }
    if start > end {
        return cannot("start index must be less than or equal to end index".to_owned());
    }
    if (list.len() as i64) < *end {
        return cannot(format!("list is length {}", list.len()));
    }
    call.meter.step((end - start) as usize)?;
    Ok(Value::list((*start as usize..*end as usize).filter_map(|at| list.get(at)).collect::<Result<_, _>>()?))
}

fn flatten<'a>(
    list: &List<'a>,
    depth: i64,
    flat: &mut Vec<Value<'a>>,
    meter: &Meter,
) -> Result<(), EvalError> {
    for item in list.values(meter)? {
        match &item {
            Value::List(inner) if depth > 0 => meter.deeper(|| flatten(inner, depth - 1, flat, meter))?,
            _ => flat.push(item),
        }
    }
    meter.hold(flat.len())
}

fn contains<'a>(list: &List<'a>, part: &List<'a>, meter: &Meter) -> Result<bool, EvalError> {
    for item in part.iter() {
        if !list.contains(&item?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_sorted<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return no_overload() };
    for pair in list.values(call.meter)?.windows(2) {
        if compare(&pair[0], &pair[1])? == Ordering::Greater {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn extreme<'a>(call: &Call<'_, 'a>, args: &[Value<'a>], wanted: Ordering, name: &str) -> Outcome<'a> {
    let [Value::List(list)] = args else { return no_overload() };
    let mut values = list.values(call.meter)?.into_iter();
    let Some(mut best) = values.next() else {
        return Err(EvalError::Message(format!("{name} called on empty list")));
    };
    for value in values {
        if compare(&value, &best)? == wanted {
            best = value;
        }
    }
    Ok(best)
}

/// The sum of nothing is the zero of the type that was declared.
fn sum<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = args else { return no_overload() };
    let mut values = list.values(call.meter)?.into_iter();
    let Some(mut total) = values.next() else {
        return Ok(match call.overload.map(|overload| &overload.result) {
            Some(Type::Uint) => Value::Uint(0),
            Some(Type::Double) => Value::Double(0.0),
            Some(Type::Duration) => Value::Duration(0),
            _ => Value::Int(0),
        });
    };
    for value in values {
        total = operators::add(total, &value, call.meter)?;
    }
    Ok(total)
}

fn sort<'a>(call: &Call<'_, 'a>, args: &[Value<'a>], keys: &[Value<'a>]) -> Outcome<'a> {
    let (Some(Value::List(list)), Some(Value::List(keys))) = (args.first(), keys.first()) else {
        return no_overload();
    };
    if list.len() != keys.len() {
        return Err(EvalError::Message(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let keys = keys.values(call.meter)?;
    if let Some(first) = keys.first() {
        if compare(first, first).is_err() {
            return Err(EvalError::message("list elements must be comparable"));
        }
        if keys.iter().any(|key| std::mem::discriminant(key) != std::mem::discriminant(first)) {
            return Err(EvalError::message("list elements must have the same type"));
        }
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(list.values(call.meter)?).collect();
    pairs.sort_by(|(a, _), (b, _)| compare(a, b).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}
