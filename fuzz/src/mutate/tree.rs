//! Mutations of JSON trees: the result is JSON again.

use serde_json::{Map, Value, json};

use crate::rng::Rng;

/// Deeper trees are wrapped no further: readers refuse them anyway.
const WRAPS: usize = 140;

/// None where the input is not JSON.
pub(super) fn mutate(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut tree: Value = serde_json::from_slice(input).ok()?;
    let other: Value = serde_json::from_slice(other).unwrap_or_default();
    for _ in 0..=rng.below(4) {
        let at = rng.below(count(&tree));
        let donor = rng.below(count(&other));
        let donor = nth(&other, &mut { donor }).cloned().unwrap_or_default();
        if let Some(node) = nth_mut(&mut tree, &mut { at }) {
            step(node, donor, words, rng);
        }
    }
    serde_json::to_vec(&tree).ok()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v Value, at: &mut usize) -> Option<&'v Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter().find_map(|item| nth(item, at)),
        Value::Object(members) => members.values().find_map(|member| nth(member, at)),
        _ => None,
    }
}

fn nth_mut<'v>(value: &'v mut Value, at: &mut usize) -> Option<&'v mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth_mut(item, at)),
        Value::Object(members) => members.values_mut().find_map(|member| nth_mut(member, at)),
        _ => None,
    }
}

fn word(words: &[&str], rng: &mut Rng) -> String {
    rng.pick(words).copied().unwrap_or("x").to_string()
}

fn step(node: &mut Value, donor: Value, words: &[&str], rng: &mut Rng) {
    match rng.below(12) {
        0 => *node = Value::Null,
        1 => *node = donor,
        2 => *node = simple(words, rng),
        3 => {
            let most = if rng.one_in(8) { WRAPS } else { 3 };
            for _ in 0..=rng.below(most) {
                let inner = node.take();
                *node = if rng.one_in(2) { json!([inner]) } else { json!({ word(words, rng): inner }) };
            }
        }
        4 | 5 => match node {
            Value::Object(members) => rename(members, words, rng),
            Value::Array(items) => {
                let item = rng.pick(items).cloned().unwrap_or_default();
                items.insert(rng.below(items.len() + 1), item);
            }
            Value::String(text) => text.push_str(&word(words, rng)),
            other => *other = simple(words, rng),
        },
        6 | 7 => match node {
            Value::Object(members) => {
                let key = if rng.one_in(3) { members.keys().next().cloned() } else { None };
                members.insert(key.unwrap_or_else(|| word(words, rng)), donor);
            }
            Value::Array(items) => items.push(donor),
            other => *other = donor,
        },
        8 => match node {
            Value::Object(members) => {
                let at = rng.below(members.len());
                if let Some(key) = members.keys().nth(at).cloned() {
                    members.remove(&key);
                }
            }
            Value::Array(items) if !items.is_empty() => drop(items.remove(rng.below(items.len()))),
            other => *other = json!([]),
        },
        9 => {
            if let Value::Array(items) = node {
                items.reverse();
            } else {
                *node = json!({});
            }
        }
        _ => *node = Value::from(word(words, rng)),
    }
}

fn rename(members: &mut Map<String, Value>, words: &[&str], rng: &mut Rng) {
    let at = rng.below(members.len());
    if let Some(key) = members.keys().nth(at).cloned()
        && let Some(value) = members.remove(&key)
    {
        members.insert(word(words, rng), value);
    }
}

fn simple(words: &[&str], rng: &mut Rng) -> Value {
    match rng.below(9) {
        0 => json!(true),
        1 => json!(0),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(u64::MAX),
        5 => json!(1.5e300),
        6 => json!(""),
        7 => json!([]),
        _ => Value::from(word(words, rng)),
    }
}
