//! Laying a configuration over an object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::element::Element;
use super::items;
use super::node::{List, Merge, Node, Shape};

/// Merges `config`, which was found valid, into `object`. What only `object` has stays; where both have a value, the
/// configuration's counts. Lists take the configuration's order as far as it says one.
pub(super) fn merge(node: Node<'_>, object: &mut Value, config: &Value) {
    if !node.alike(object, config) {
        *object = config.clone();
        return;
    }
    let decides = if config.is_null() { &*object } else { config };
    match node.shape(Some(decides)) {
        Shape::Scalar(_) => *object = config.clone(),
        Shape::List(list) => match (&mut *object, config) {
            (Value::Array(old), Value::Array(new))
                if !matches!(list.merge, Merge::Atomic) && !new.is_empty() =>
            {
                let merged = merge_items(list, std::mem::take(old), new);
                *old = merged;
            }
            (object, config) => keep_or_take(object, config, matches!(list.merge, Merge::Atomic)),
        },
        Shape::Map(members) => match (&mut *object, config) {
            (Value::Object(old), Value::Object(new)) if !members.atomic && !new.is_empty() => {
                for (name, value) in new {
                    match old.get_mut(name) {
                        Some(place) => merge(members.node(name), place, value),
                        None => {
                            old.insert(name.clone(), value.clone());
                        }
                    }
                }
            }
            (object, config) => keep_or_take(object, config, members.atomic),
        },
    }
}

/// An empty or null configuration leaves a collection that merges as it is, unless there is nothing in it.
fn keep_or_take(object: &mut Value, config: &Value, atomic: bool) {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => true,
    };
    if atomic || is_empty(object) || !is_empty(config) {
        *object = config.clone();
    }
}

/// Where an item of the merged list comes from: the index in the object's list, in the configuration's, or both.
type Step = (Option<usize>, Option<usize>);

fn merge_items(list: List<'_>, old: Vec<Value>, new: &[Value]) -> Vec<Value> {
    let steps = plan(list, &old, new);
    let mut old: Vec<Option<Value>> = old.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(steps.len());
    for (l, r) in steps {
        match (l.and_then(|l| old[l].take()), r) {
            (Some(mut item), Some(r)) => {
                merge(list.item, &mut item, &new[r]);
                out.push(item);
            }
            (Some(item), None) => out.push(item),
            (None, Some(r)) => out.push(new[r].clone()),
            (None, None) => {}
        }
    }
    out
}

/// Items of one element, on both sides.
#[derive(Default, Clone)]
struct Seen {
    /// Where it is in the object's list; none where it is there twice, so that it cannot be merged with.
    old: Option<usize>,
    old_count: usize,
    new: bool,
}

/// The order of the merged list. Items of the configuration keep their order among themselves; items that only the object
/// has keep their place relative to those they follow.
fn plan(list: List<'_>, old: &[Value], new: &[Value]) -> Vec<Step> {
    let mut ids: BTreeMap<Element<'_>, usize> = BTreeMap::new();
    let mut seen: Vec<Seen> = Vec::with_capacity(old.len());
    let mut id_of = |item: &'_ Value, seen: &mut Vec<Seen>| -> Option<usize> {
        let element = items::element(list, item).ok()?.into_owned();
        let next = ids.len();
        let id = *ids.entry(element).or_insert(next);
        if id == seen.len() {
            seen.push(Seen::default());
        }
        Some(id)
    };
    let mut left = Vec::with_capacity(old.len());
    for (at, item) in old.iter().enumerate() {
        let Some(id) = id_of(item, &mut seen) else { continue };
        seen[id].old_count += 1;
        seen[id].old = (seen[id].old_count == 1).then_some(at);
        left.push((id, at));
    }
    let mut right = Vec::with_capacity(new.len());
    for (at, item) in new.iter().enumerate() {
        let Some(id) = id_of(item, &mut seen) else { continue };
        seen[id].new = true;
        right.push((id, at));
    }
    interleave(&left, &right, &seen)
}

/// Goes through the configuration's items. Each is preceded by those that only the object has and that stood before its
/// anchor: the first item from here on that both have. An anchor that was passed already takes all that is left with it.
fn interleave(left: &[(usize, usize)], right: &[(usize, usize)], seen: &[Seen]) -> Vec<Step> {
    let own = |passed: &[(usize, usize)]| -> Vec<Step> {
        passed.iter().filter(|(id, _)| !seen[*id].new).map(|(_, at)| (Some(*at), None)).collect()
    };
    let mut steps = Vec::with_capacity(left.len() + right.len());
    let mut rest = left;
    for ((id, at), anchor) in right.iter().zip(anchors(right, seen)) {
        let before = match anchor {
            Some(anchor) => {
                let found = rest.iter().position(|(other, _)| *other == anchor);
                found.map(|found| found + usize::from(anchor == *id))
            }
            // Nothing to come is in both; what is, was passed over, and parts the rest.
            None => rest.iter().position(|(other, _)| seen[*other].new).map(|found| found + 1),
        };
        let (passed, ahead) = rest.split_at(before.unwrap_or(rest.len()));
        steps.extend(own(passed));
        steps.push((seen[*id].old, Some(*at)));
        rest = ahead;
    }
    steps.extend(own(rest));
    steps
}

/// For each item of the configuration the first from it on that the object has as well.
fn anchors(right: &[(usize, usize)], seen: &[Seen]) -> Vec<Option<usize>> {
    let mut anchor = None;
    let backwards = right.iter().rev().map(|(id, _)| {
        anchor = if seen[*id].old_count > 0 { Some(*id) } else { anchor };
        anchor
    });
    let mut anchors: Vec<_> = backwards.collect();
    anchors.reverse();
    anchors
}
