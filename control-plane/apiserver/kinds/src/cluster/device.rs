//! Dynamic resource allocation.

use crate::kind::Kind;
use crate::value::text;

pub(super) static CLASS: Kind = Kind { cells: Some(crate::print::name_and_age), ..Kind::COUNTED };
pub(super) static CLAIM_TEMPLATE: Kind = Kind { cells: Some(crate::print::name_and_age), ..Kind::PLAIN };
pub(super) static TAINT_RULE: Kind = Kind::COUNTED;
pub(super) static CLAIM: Kind = Kind { cells: Some(super::cells::claim), ..Kind::PLAIN };

pub(super) static SLICE: Kind = Kind {
    fields: |slice| {
        let field = |name: &str| text(&slice["spec"][name]).to_string();
        vec![("spec.nodeName", field("nodeName")), ("spec.driver", field("driver"))]
    },
    cells: Some(super::cells::slice),
    ..Kind::COUNTED
};
