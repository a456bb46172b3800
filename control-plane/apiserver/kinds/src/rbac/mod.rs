//! Roles and their bindings.

mod cells;
mod validate;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "clusterroles" | "roles" => &ROLE,
        "clusterrolebindings" | "rolebindings" => &BINDING,
        _ => return None,
    })
}

static ROLE: Kind = Kind {
    create_on_update: true,
    name: crate::names::anything,
    validate: validate::role,
    cells: Some(crate::print::name_and_creation),
    ..Kind::PLAIN
};
static BINDING: Kind = Kind {
    create_on_update: true,
    name: crate::names::anything,
    validate: validate::binding,
    changes: validate::binding_changes,
    cells: Some(cells::binding),
    ..Kind::PLAIN
};
