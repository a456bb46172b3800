//! LimitRanges and ResourceQuotas.

use crate::kind::Kind;

pub(crate) static LIMIT_RANGE: Kind =
    Kind { create_on_update: true, cells: Some(crate::print::name_and_creation), ..Kind::PLAIN };

pub(crate) static RESOURCE_QUOTA: Kind = Kind { cells: Some(super::cells::quota), ..Kind::PLAIN };
