//! The networking and discovery groups.

use crate::kind::{Kind, content_differs};

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "endpointslices" => &ENDPOINT_SLICE,
        "ingressclasses" => &INGRESS_CLASS,
        "ingresses" => &INGRESS,
        "networkpolicies" => &NETWORK_POLICY,
        _ => return None,
    })
}

static ENDPOINT_SLICE: Kind = Kind {
    generation_changes: Some(|new, old| {
        content_differs(new, old) || new["metadata"]["labels"] != old["metadata"]["labels"]
    }),
    ..Kind::COUNTED
};

static INGRESS_CLASS: Kind = Kind::COUNTED;
static INGRESS: Kind = Kind::COUNTED;
static NETWORK_POLICY: Kind = Kind::COUNTED;
