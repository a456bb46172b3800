//! Roles and their bindings.

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "clusterroles" | "roles" => &ROLE,
        "clusterrolebindings" | "rolebindings" => &BINDING,
        _ => return None,
    })
}

static ROLE: Kind = Kind { create_on_update: true, ..Kind::PLAIN };
static BINDING: Kind = Kind { create_on_update: true, ..Kind::PLAIN };
