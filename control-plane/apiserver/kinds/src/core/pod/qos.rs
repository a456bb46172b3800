//! The quality-of-service class of a pod. (`pkg/apis/core/v1/helper/qos`)

use std::collections::BTreeMap;

use oarlock_api::quantity::Quantity;
use serde_json::Value;

use crate::value::{entries, items, quantity};

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(spec: &Value) -> &'static str {
    let (mut requests, mut limits) = (Sums::default(), Sums::default());
    let mut guaranteed = true;
    let pod_level = &spec["resources"];
    if entries(&pod_level["requests"])
        .chain(entries(&pod_level["limits"]))
        .any(|(name, _)| COUNTED.contains(&name))
    {
        guaranteed &= add(pod_level, &mut requests, &mut limits);
    } else {
        for list in ["containers", "initContainers"] {
            for container in items(&spec[list]) {
                guaranteed &= add(&container["resources"], &mut requests, &mut limits);
            }
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal =
        requests.len() == limits.len() && requests.iter().all(|(name, q)| limits.get(name) == Some(q));
    if guaranteed && equal { "Guaranteed" } else { "Burstable" }
}

type Sums<'a> = BTreeMap<&'a str, Quantity>;

/// Whether both cpu and memory are limited.
fn add<'a>(resources: &'a Value, requests: &mut Sums<'a>, limits: &mut Sums<'a>) -> bool {
    sum(&resources["requests"], requests);
    sum(&resources["limits"], limits) == COUNTED.len()
}

/// How many of the counted resources are set.
fn sum<'a>(list: &'a Value, sums: &mut Sums<'a>) -> usize {
    let mut found = 0;
    for (name, value) in entries(list).filter(|(name, _)| COUNTED.contains(name)) {
        let Some(amount) = quantity(value).filter(|q| !q.is_zero() && !q.is_negative()) else { continue };
        found += 1;
        sums.entry(name).and_modify(|sum| *sum += amount).or_insert(amount);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::class;
    use serde_json::{Value, json};

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let cases: [(Value, &str); 5] = [
            (json!({}), "BestEffort"),
            (json!({"limits": both, "requests": both}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "1"}}), "Burstable"),
            (json!({"requests": {"cpu": "1m"}}), "Burstable"),
            (json!({"limits": {"example.com/gpu": "1"}}), "BestEffort"),
        ];
        for (resources, want) in cases {
            assert_eq!(
                class(&json!({"containers": [{"name": "a", "resources": resources}]})),
                want,
                "{resources}"
            );
        }
    }
}
