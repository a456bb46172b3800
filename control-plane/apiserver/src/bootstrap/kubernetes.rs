//! The `kubernetes` Service in `default`: the first address of the service range, and behind it this server, with all
//! others that share its store.

use std::collections::BTreeSet;
use std::sync::Arc;

use oarlock_api::GroupResource;
use oarlock_store::StoreError;
use serde_json::{Value, json};

use super::{Action, Plan, ensure, masters};
use crate::config::Error;
use crate::server::Server;

pub(super) const NAME: &str = "kubernetes";

pub(super) async fn publish_service(server: &Arc<Server>, plan: &Plan) -> Result<(), Error> {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": NAME, "namespace": "default", "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "clusterIP": plan.first_address, "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": plan.port }],
        },
    });
    if plan.node_port != 0 {
        service["spec"]["type"] = "NodePort".into();
        service["spec"]["ports"][0]["nodePort"] = plan.node_port.into();
    }
    ensure(server, "services", service, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => replaced(existing, expected, &["spec", "type"])
            .map(|action| with_ports(action, expected))
            .or_else(|| replaced(existing, expected, &["spec", "ports"])),
    })
    .await
}

/// A Service of another type has other ports.
fn with_ports(action: Action, expected: &Value) -> Action {
    match action {
        Action::Replace(mut new) => {
            new["spec"]["ports"] = expected["spec"]["ports"].clone();
            Action::Replace(new)
        }
        other => other,
    }
}

/// Says where this server is reached, and whoever shares its store.
pub(super) async fn publish_servers(server: &Arc<Server>, plan: &Plan) -> Result<(), Error> {
    if !plan.keeps_endpoints {
        return Ok(());
    }
    let store = &*server.registry.store;
    if !store.is_shared() {
        return list_servers(server, plan, &BTreeSet::from([plan.advertise.to_string()])).await;
    }
    let endpoints = server.resources.cached(&GroupResource::new("", "endpoints"));
    let endpoints = endpoints.expect("Endpoints are built in");
    masters::announce(store, &endpoints.storage, plan.advertise).await.map_err(failed)?;
    let addresses = masters::addresses(store).await.map_err(failed)?;
    list_servers(server, plan, &addresses).await
}

/// Takes this server from the endpoints, if others are there to answer.
pub(super) async fn retire(server: &Arc<Server>, plan: &Plan) {
    let store = &*server.registry.store;
    if !store.is_shared() || !plan.keeps_endpoints {
        return;
    }
    let taken = async {
        masters::withdraw(store, plan.advertise).await.map_err(failed)?;
        match masters::addresses(store).await.map_err(failed)? {
            none if none.is_empty() => Ok(()),
            others => list_servers(server, plan, &others).await,
        }
    };
    if let Err(error) = taken.await {
        tracing::warn!(%error, "this server stays in the kubernetes endpoints");
    }
}

fn failed(error: StoreError) -> Error {
    let status = Box::new(crate::registry::store_failed(error));
    Error::Bootstrap { what: "the addresses of the API servers".into(), status }
}

/// The Endpoints and EndpointSlice say that the Service is served at `addresses`.
async fn list_servers(server: &Arc<Server>, plan: &Plan, addresses: &BTreeSet<String>) -> Result<(), Error> {
    let listed: Vec<Value> = addresses.iter().map(|address| json!({ "ip": address })).collect();
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": NAME, "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": listed, "ports": [{ "name": "https", "port": plan.port, "protocol": "TCP" }],
        }],
    });
    ensure(server, "endpoints", endpoints, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => {
            let mut sorted = existing.clone();
            sort_by(&mut sorted, "/subsets/0/addresses", "/ip");
            replaced(&sorted, expected, &["subsets"])
        }
    })
    .await?;
    // A slice has one family.
    let own = |address: &&String| address.contains(':') == plan.advertise.is_ipv6();
    let listed = addresses.iter().filter(own);
    let listed: Vec<Value> =
        listed.map(|address| json!({ "addresses": [address], "conditions": { "ready": true } })).collect();
    if listed.is_empty() {
        return Ok(());
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": NAME, "namespace": "default", "labels": { "kubernetes.io/service-name": NAME } },
        "addressType": if plan.advertise.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": listed,
        "ports": [{ "name": "https", "port": plan.port, "protocol": "TCP" }],
    });
    ensure(server, "endpointslices", slice, |existing, expected| match existing {
        None => Some(Action::Create),
        Some(existing) => {
            let mut sorted = existing.clone();
            sort_by(&mut sorted, "/endpoints", "/addresses/0");
            replaced(&sorted, expected, &["endpoints"]).or_else(|| replaced(&sorted, expected, &["ports"]))
        }
    })
    .await
}

/// Other servers may list the same in another order, which is no difference. Where there is no `list`, nothing is sorted:
/// the last server that stopped left none.
fn sort_by(object: &mut Value, list: &str, key: &str) {
    if let Some(list) = object.pointer_mut(list).and_then(Value::as_array_mut) {
        list.sort_by_cached_key(|item| item.pointer(key).and_then(Value::as_str).map(String::from));
    }
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
    fn order_is_no_difference() {
        let sort = |mut object: Value| {
            sort_by(&mut object, "/subsets/0/addresses", "/ip");
            object
        };
        let of = |list: Value| json!({"subsets": [{"addresses": list, "ports": []}]});
        assert_eq!(
            sort(of(json!([{"ip": "10.0.0.2"}, {}, {"ip": "10.0.0.1"}]))),
            of(json!([{}, {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]))
        );
        // What upstream's last server leaves behind when it stops.
        for nothing in [json!({}), json!({"subsets": null}), json!({"subsets": []}), json!({"subsets": [{}]})]
        {
            assert_eq!(sort(nothing.clone()), nothing);
        }
    }

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
