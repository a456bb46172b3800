//! Endpoints.

use crate::kind::Kind;

pub(crate) static ENDPOINTS: Kind =
    Kind { create_on_update: true, cells: Some(super::cells::endpoints), ..Kind::PLAIN };
