//! Roles and their bindings.

mod cells;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "clusterroles" | "roles" => &ROLE,
        "clusterrolebindings" | "rolebindings" => &BINDING,
        _ => return None,
    })
}

static ROLE: Kind =
    Kind { create_on_update: true, cells: Some(crate::print::name_and_creation), ..Kind::PLAIN };
static BINDING: Kind = Kind { create_on_update: true, cells: Some(cells::binding), ..Kind::PLAIN };
