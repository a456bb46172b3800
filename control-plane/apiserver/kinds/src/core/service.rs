//! Services. Addresses and node ports are the allocator's affair.

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{items, remove, text};

pub(crate) static SERVICE: Kind = Kind {
    create_on_update: true,
    prepare_update: update,
    fields: |service| {
        let field = |name: &str| text(&service["spec"][name]).to_string();
        vec![("spec.clusterIP", field("clusterIP")), ("spec.type", field("type"))]
    },
    cells: Some(super::cells::service),
    ..Kind::PLAIN
};

fn is_type(service: &Value, kind: &str) -> bool {
    text(&service["spec"]["type"]) == kind
}

fn externally_reached(service: &Value) -> bool {
    let addresses = || is_type(service, "ClusterIP") && !items(&service["spec"]["externalIPs"]).is_empty();
    is_type(service, "LoadBalancer") || is_type(service, "NodePort") || addresses()
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
