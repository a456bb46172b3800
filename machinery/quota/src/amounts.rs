//! Lists of resources by name (`ResourceList`), and the arithmetic of quotas over them.

use std::collections::BTreeMap;

use oarlock_api::quantity::Quantity;
use serde_json::{Map, Value};

pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts at a field; what is no quantity was refused by validation and is left out here.
pub fn amounts(value: &Value) -> Amounts {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), Quantity::from_value(value).ok()?))).collect()
}

pub fn to_value(amounts: &Amounts) -> Value {
    let fields: Map<String, Value> =
        amounts.iter().map(|(name, quantity)| (name.clone(), quantity.to_string().into())).collect();
    Value::Object(fields)
}

pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        *to.entry(name.clone()).or_default() += *quantity;
    }
}

/// The greater of the two for each name.
pub fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, quantity) in other {
        match to.get_mut(name) {
            Some(had) if *had >= *quantity => {}
            Some(had) => *had = *quantity,
            None => drop(to.insert(name.clone(), *quantity)),
        }
    }
}

/// What `a` has over `b`, never under zero; what only `b` has is zero.
pub fn growth(a: &Amounts, b: &Amounts) -> Amounts {
    let mut grown: Amounts = b.keys().map(|name| (name.clone(), Quantity::ZERO)).collect();
    for (name, quantity) in a {
        let difference = *quantity - b.get(name).copied().unwrap_or_default();
        grown.insert(name.clone(), if difference.is_negative() { Quantity::ZERO } else { difference });
    }
    grown
}

/// Only the names that are asked for.
pub fn mask(amounts: &Amounts, wanted: impl Fn(&str) -> bool) -> Amounts {
    amounts
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, quantity)| (name.clone(), *quantity))
        .collect()
}

/// `cpu=1,memory=2Gi`, by name.
pub fn print(amounts: &Amounts) -> String {
    let parts: Vec<String> = amounts.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect();
    parts.join(",")
}
