//! The elements by which the items of a list are told apart.

use std::borrow::Cow;

use serde_json::Value;

use super::element::{Element, KeyField};
use super::node::{Keys, List, Merge, Shape};

/// The element of one item; the error is upstream's text. Not for atomic lists, whose items have none.
pub(super) fn element<'a>(list: List<'a>, item: &'a Value) -> Result<Element<'a>, String> {
    match list.merge {
        Merge::Atomic => Err("invalid indexing of non-associative list".to_string()),
        Merge::Set => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_string())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_string()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_string())
            }
            value => Ok(Element::Value(Cow::Borrowed(value))),
        },
        Merge::Keyed(keys) => keyed(list, keys, item),
    }
}

fn keyed<'a>(list: List<'a>, keys: Keys<'a>, item: &'a Value) -> Result<Element<'a>, String> {
    let members = match item {
        Value::Object(members) => members,
        Value::Null => return Err("associative list with keys may not have a null element".to_string()),
        _ => return Err("associative list with keys may not have non-map elements".to_string()),
    };
    let mut found: Vec<KeyField<'a>> = Vec::with_capacity(keys.len());
    for at in 0..keys.len() {
        let name = keys.name(at);
        if let Some(value) = members.get(name) {
            found.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        } else if let Shape::Map(shape) = list.item.shape(Some(item))
            && let Some(default) = shape.key_default(name)
        {
            found.push((Cow::Borrowed(name), default));
        }
    }
    if found.is_empty() && keys.len() > 0 {
        let names: Vec<String> = (0..keys.len()).map(|at| format!("{:?}", keys.name(at))).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values \
             for any key fields)",
            names.join(" ")
        ));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Element::Key(found))
}

/// The items with their elements, sorted by them; equal ones stay in the order of the list. Items without an element are
/// left out.
pub(super) fn sorted<'a>(list: List<'a>, items: &'a [Value]) -> Vec<(Element<'a>, &'a Value)> {
    let mut out: Vec<_> = items.iter().filter_map(|item| Some((element(list, item).ok()?, item))).collect();
    if !out.is_sorted_by(|(a, _), (b, _)| a <= b) {
        out.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    out
}
