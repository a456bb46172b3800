//! Dynamic resource allocation. (`pkg/apis/resource/validation`)

mod capacity;
mod claim;
mod parts;
mod selector;
mod slice;
mod status;

use oarlock_api::Path;

use crate::kind::{Kind, STATUS_ALONE};
use crate::value::text;

pub(super) static CLASS: Kind = Kind {
    name: crate::names::long_name,
    validate: claim::class,
    cells: Some(crate::print::name_and_age),
    ..Kind::COUNTED
};

pub(super) static CLAIM_TEMPLATE: Kind = Kind {
    validate: claim::template,
    changes: |_, new, old, errors| {
        crate::check::immutable(&new["spec"], &old["spec"], &Path::new("spec"), errors);
    },
    cells: Some(crate::print::name_and_age),
    ..Kind::PLAIN
};

pub(super) static TAINT_RULE: Kind = Kind { status_keeps: STATUS_ALONE, ..Kind::COUNTED };

pub(super) static CLAIM: Kind = Kind {
    status_keeps: STATUS_ALONE,
    validate_new: claim::claim,
    changes: status::changes,
    cells: Some(super::cells::claim),
    ..Kind::PLAIN
};

pub(super) static SLICE: Kind = Kind {
    prepare_create: |context, object| slice::prepare(context, object, None),
    prepare_update: |context, new, old| slice::prepare(context, new, Some(old)),
    validate: slice::validate,
    changes: slice::changes,
    fields: |slice| {
        let field = |name: &str| text(&slice["spec"][name]).to_string();
        vec![("spec.nodeName", field("nodeName")), ("spec.driver", field("driver"))]
    },
    cells: Some(super::cells::slice),
    ..Kind::COUNTED
};
