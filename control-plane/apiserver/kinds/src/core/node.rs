//! Nodes.

use crate::kind::Kind;
use crate::value::is_true;

pub(crate) static NODE: Kind = Kind {
    keeps_status_on_create: true,
    fields: |node| vec![("spec.unschedulable", is_true(&node["spec"]["unschedulable"]).to_string())],
    cells: Some(super::cells::node),
    ..Kind::PLAIN
};
