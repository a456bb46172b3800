//! Services. Addresses and node ports are the allocator's affair.

mod addresses;
mod validate;
mod warnings;

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{items, remove, text};

pub(crate) static SERVICE: Kind = Kind {
    create_on_update: true,
    name: crate::names::dns_label,
    validate: validate::service,
    changes: addresses::changes,
    warn: warnings::service,
    prepare_update: update,
    fields: |service| {
        let field = |name: &str| text(&service["spec"][name]).to_string();
        vec![("spec.clusterIP", field("clusterIP")), ("spec.type", field("type"))]
    },
    cells: Some(super::cells::service),
    ..Kind::PLAIN
};

/// Of no address on purpose.
fn is_headless(spec: &Value) -> bool {
    spec["type"] == "ClusterIP" && spec["clusterIP"] == "None"
}

fn is_type(service: &Value, kind: &str) -> bool {
    text(&service["spec"]["type"]) == kind
}

fn externally_reached(service: &Value) -> bool {
    externally_reached_spec(&service["spec"])
}

fn externally_reached_spec(spec: &Value) -> bool {
    match text(&spec["type"]) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !items(&spec["externalIPs"]).is_empty(),
        _ => false,
    }
}

/// A change of type takes along what only the old type had, where the client did not change it itself.
fn update(context: &Context<'_>, new: &mut Value, old: &Value) {
    if context.subresource == "status" {
        return;
    }
    let drop_unchanged = |new: &mut Value, field: &str| {
        if new["spec"][field] == old["spec"][field] {
            remove(&mut new["spec"], field);
        }
    };
    if is_type(old, "LoadBalancer") && !is_type(new, "LoadBalancer") {
        drop_unchanged(new, "allocateLoadBalancerNodePorts");
        drop_unchanged(new, "loadBalancerClass");
    }
    if externally_reached(old) && !externally_reached(new) {
        drop_unchanged(new, "externalTrafficPolicy");
    }
}
