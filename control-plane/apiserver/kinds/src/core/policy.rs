//! LimitRanges and ResourceQuotas.

mod quota;
mod range;

use crate::kind::Kind;

pub(crate) static LIMIT_RANGE: Kind = Kind {
    create_on_update: true,
    validate: range::validate,
    cells: Some(crate::print::name_and_creation),
    ..Kind::PLAIN
};

pub(crate) static RESOURCE_QUOTA: Kind = Kind {
    validate: quota::validate,
    changes: quota::changes,
    cells: Some(super::cells::quota),
    ..Kind::PLAIN
};
