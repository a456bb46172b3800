//! The `kubernetes` Service in `default`: the first address of the service range, and this server behind it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Action, Plan, ensure};
use crate::config::Error;
use crate::server::Server;

pub(super) const NAME: &str = "kubernetes";

pub(super) async fn publish(server: &Arc<Server>, plan: &Plan) -> Result<(), Error> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": NAME, "namespace": "default", "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "clusterIP": plan.first_address, "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": plan.port }],
        },
    });
    ensure(server, "services", service, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => replaced(existing, expected, &["spec", "ports"]),
    })
    .await?;
    let address = plan.advertise.to_string();
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": NAME, "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": [{ "ip": address }], "ports": [{ "name": "https", "port": plan.port, "protocol": "TCP" }],
        }],
    });
    ensure(server, "endpoints", endpoints, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => replaced(existing, expected, &["subsets"]),
    })
    .await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": NAME, "namespace": "default", "labels": { "kubernetes.io/service-name": NAME } },
        "addressType": if plan.advertise.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": plan.port, "protocol": "TCP" }],
    });
    ensure(server, "endpointslices", slice, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => {
            replaced(existing, expected, &["endpoints"]).or_else(|| replaced(existing, expected, &["ports"]))
        }
    })
    .await
}

/// The existing object with the expected value at `path`, if that differs. What defaulting added is no difference.
fn replaced(existing: &Value, expected: &Value, path: &[&str]) -> Option<Action> {
    let at = |object: &Value| path.iter().fold(object.clone(), |value, field| value[*field].clone());
    if covers(&at(existing), &at(expected)) {
        return None;
    }
    let mut new = existing.clone();
    let mut place = &mut new;
    for field in path {
        place = &mut place[*field];
    }
    *place = at(expected);
    // The ports of an endpoint change with its addresses.
    if expected.get("endpoints").is_some() {
        new["ports"] = expected["ports"].clone();
        new["endpoints"] = expected["endpoints"].clone();
    }
    Some(Action::Replace(new))
}

/// Everything in `expected` is in `existing`.
fn covers(existing: &Value, expected: &Value) -> bool {
    match (existing, expected) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(key, value)| have.get(key).is_some_and(|there| covers(there, value)))
        }
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| covers(have, want))
        }
        (have, want) => have == want,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_no_difference() {
        let existing = json!({"subsets": [{"addresses": [{"ip": "1.2.3.4", "x": 1}]}]});
        let same = json!({"subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]});
        let other = json!({"subsets": [{"addresses": [{"ip": "1.2.3.5"}]}]});
        assert!(replaced(&existing, &same, &["subsets"]).is_none());
        assert!(
            matches!(replaced(&existing, &other, &["subsets"]), Some(Action::Replace(new)) if new == other)
        );
    }
}
