//! LimitRanges and ResourceQuotas.

use crate::kind::Kind;

pub(crate) static LIMIT_RANGE: Kind = Kind { create_on_update: true, ..Kind::PLAIN };

pub(crate) static RESOURCE_QUOTA: Kind = Kind::PLAIN;
