//! The networking and discovery groups.

mod cells;
mod ingress;
mod policy;
mod ranges;
mod slice;

use crate::kind::{Kind, STATUS_ALONE, content_differs};

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
    prepare_create: |_, object| slice::prepare(object, None),
    prepare_update: |_, new, old| slice::prepare(new, Some(old)),
    validate: slice::validate,
    warn: slice::warn,
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
static INGRESS: Kind = Kind {
    validate: ingress::validate,
    validate_new: ingress::new,
    changes: ingress::changes,
    warn: ingress::warn,
    cells: Some(cells::ingress),
    ..Kind::COUNTED
};
static NETWORK_POLICY: Kind = Kind {
    validate: policy::validate,
    warn: policy::warn,
    cells: Some(cells::network_policy),
    ..Kind::COUNTED
};
static IP_ADDRESS: Kind = Kind {
    name: crate::names::canonical_ip,
    validate: ranges::address,
    changes: ranges::address_changes,
    cells: Some(cells::ip_address),
    ..Kind::PLAIN
};
static SERVICE_CIDR: Kind = Kind {
    status_keeps: STATUS_ALONE,
    validate_new: ranges::range,
    changes: ranges::range_changes,
    cells: Some(cells::service_cidr),
    ..Kind::PLAIN
};
