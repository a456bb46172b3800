//! The core group but for pods.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Conditional, Constant, absent, ensure, fill, items_mut, member, member_mut, set, text};
use crate::quantity::Quantity;

pub(super) const CONSTANTS: &[Constant] = &[
    ("core.v1.ServiceSpec", "sessionAffinity", r#""None""#),
    ("core.v1.ServiceSpec", "type", r#""ClusterIP""#),
    ("core.v1.ServicePort", "protocol", r#""TCP""#),
    ("core.v1.EndpointPort", "protocol", r#""TCP""#),
    ("core.v1.Secret", "type", r#""Opaque""#),
    ("core.v1.NamespaceStatus", "phase", r#""Active""#),
    ("core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy", r#""Retain""#),
    ("core.v1.PersistentVolumeSpec", "volumeMode", r#""Filesystem""#),
    ("core.v1.PersistentVolumeStatus", "phase", r#""Pending""#),
    ("core.v1.PersistentVolumeClaimSpec", "volumeMode", r#""Filesystem""#),
    ("core.v1.PersistentVolumeClaimStatus", "phase", r#""Pending""#),
    ("core.v1.ReplicationControllerSpec", "replicas", "1"),
    ("authentication.v1.TokenRequestSpec", "expirationSeconds", "3600"),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("core.v1.Service", service),
    ("core.v1.Secret", secret),
    ("core.v1.Namespace", namespace),
    ("core.v1.ReplicationController", replication_controller),
    ("core.v1.NodeStatus", node_status),
    ("core.v1.LimitRangeItem", limit_range_item),
];

/// Resources are told in thousandths at the finest.
pub(super) fn round_resources(list: &mut Map<String, Value>) {
    for value in list.values_mut() {
        if let Ok(quantity) = Quantity::from_value(value) {
            let rounded = quantity.round_up(-3);
            if rounded != quantity {
                *value = Value::String(rounded.to_string());
            }
        }
    }
}

fn service(service: &mut Map<String, Value>) {
    let Some(spec) = ensure(service, "spec") else { return };
    match text(spec, "sessionAffinity") {
        "" | "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let client = ensure(spec, "sessionAffinityConfig").and_then(|config| ensure(config, "clientIP"));
            if let Some(client) = client {
                set(client, "timeoutSeconds", 10_800);
            }
        }
        _ => {}
    }
    items_mut(spec, "ports").for_each(target_port);
    let external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    let kind = match text(spec, "type") {
        "" => "ClusterIP",
        kind => kind,
    }
    .to_string();
    let balanced = kind == "LoadBalancer";
    let reachable = balanced || kind == "NodePort" || (kind == "ClusterIP" && external_ips);
    if reachable && text(spec, "externalTrafficPolicy").is_empty() {
        spec.insert("externalTrafficPolicy".to_string(), "Cluster".into());
    }
    if balanced || kind == "NodePort" || kind == "ClusterIP" {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if balanced {
        set(spec, "allocateLoadBalancerNodePorts", true);
        let status = member_mut(service, "status").and_then(|status| member_mut(status, "loadBalancer"));
        for ingress in status.into_iter().flat_map(|balancer| items_mut(balancer, "ingress")) {
            if !text(ingress, "ip").is_empty() {
                set(ingress, "ipMode", "VIP");
            }
        }
    }
}

/// `stringData` is for writing only: it goes into `data`, over what is there.
fn secret(secret: &mut Map<String, Value>) {
    if let Some(Value::Object(plain)) = secret.remove("stringData")
        && let Some(data) = ensure(secret, "data")
    {
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
}

/// A namespace that has a name is labelled with it.
fn namespace(namespace: &mut Map<String, Value>) {
    let name = member(namespace, "metadata").map(|metadata| text(metadata, "name").to_string());
    if let Some(name) = name.filter(|name| !name.is_empty())
        && let Some(labels) = ensure(namespace, "metadata").and_then(|metadata| ensure(metadata, "labels"))
    {
        labels.insert("kubernetes.io/metadata.name".to_string(), name.into());
    }
}

fn target_port(port: &mut Map<String, Value>) {
    let unset = match port.get("targetPort") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(number) => number.as_i64() == Some(0),
    };
    if let (true, Some(number)) = (unset, port.get("port").cloned()) {
        port.insert("targetPort".to_string(), number);
    }
}

/// Labels and selector come from the template.
fn replication_controller(controller: &mut Map<String, Value>) {
    let Some(spec) = ensure(controller, "spec") else { return };
    let labels =
        member(spec, "template").and_then(|t| member(t, "metadata")).and_then(|m| member(m, "labels"));
    let Some(labels) = labels.cloned() else { return };
    if member(spec, "selector").is_none_or(Map::is_empty) {
        spec.insert("selector".to_string(), Value::Object(labels.clone()));
    }
    take_labels(controller, labels);
}

/// Gives an object without labels those of its template.
pub(super) fn take_labels(object: &mut Map<String, Value>, labels: Map<String, Value>) {
    if let Some(metadata) = ensure(object, "metadata")
        && member(metadata, "labels").is_none_or(Map::is_empty)
    {
        metadata.insert("labels".to_string(), Value::Object(labels));
    }
}

fn node_status(status: &mut Map<String, Value>) {
    if let (true, Some(capacity)) = (absent(status, "allocatable"), member(status, "capacity").cloned()) {
        status.insert("allocatable".to_string(), Value::Object(capacity));
    }
}

fn limit_range_item(item: &mut Map<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    let max = member(item, "max").cloned();
    fill(item, "default", max);
    let default = member(item, "default").cloned();
    fill(item, "defaultRequest", default);
    let min = member(item, "min").cloned();
    fill(item, "defaultRequest", min);
}
