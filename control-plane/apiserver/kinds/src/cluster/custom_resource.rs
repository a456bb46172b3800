//! CustomResourceDefinitions: only how they are printed. Their strategy is in the crate `custom`, which reads schemas.

use crate::kind::Kind;

pub(super) static DEFINITION: Kind =
    Kind { cells: Some(crate::print::name_and_creation), ..Kind::COUNTED_CONDITIONAL };
