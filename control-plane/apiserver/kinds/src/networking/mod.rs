//! The networking and discovery groups.

mod cells;
mod ingress;
mod policy;
mod slice;

use crate::kind::{Kind, content_differs};

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "endpointslices" => &ENDPOINT_SLICE,
        "ingressclasses" => &INGRESS_CLASS,
        "ingresses" => &INGRESS,
        "networkpolicies" => &NETWORK_POLICY,
        "ipaddresses" => &IP_ADDRESS,
        "servicecidrs" => &SERVICE_CIDR,
        _ => return None,
    })
}

static ENDPOINT_SLICE: Kind = Kind {
    generation_changes: Some(|new, old| {
        content_differs(new, old) || new["metadata"]["labels"] != old["metadata"]["labels"]
    }),
    validate: slice::validate,
    changes: slice::changes,
    cells: Some(cells::endpoint_slice),
    ..Kind::COUNTED
};

static INGRESS_CLASS: Kind = Kind {
    validate: ingress::class,
    changes: ingress::class_changes,
    cells: Some(cells::ingress_class),
    ..Kind::COUNTED
};
static INGRESS: Kind = Kind { validate: ingress::validate, cells: Some(cells::ingress), ..Kind::COUNTED };
static NETWORK_POLICY: Kind =
    Kind { validate: policy::validate, cells: Some(cells::network_policy), ..Kind::COUNTED };
static IP_ADDRESS: Kind = Kind { name: crate::names::ip, cells: Some(cells::ip_address), ..Kind::PLAIN };
static SERVICE_CIDR: Kind = Kind { cells: Some(cells::service_cidr), ..Kind::PLAIN };
