//! LimitRanges and ResourceQuotas.

mod quota;
mod range;

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::text;

pub(crate) static LIMIT_RANGE: Kind = Kind {
    create_on_update: true,
    prepare_create: name_itself,
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

/// A range that nobody named is named after itself. (`limitrangeStrategy.PrepareForCreate`)
fn name_itself(_context: &Context<'_>, range: &mut Value) {
    if text(&range["metadata"]["name"]).is_empty() {
        range["metadata"]["name"] = range["metadata"]["uid"].clone();
    }
}
