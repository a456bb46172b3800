//! Which objects a list, a watch or a controller means: label selectors and field selectors, their text forms and
//! their matching. Knows labels and fields only as strings; which fields a kind offers is its strategy's matter.

mod field;
mod label;
mod lexer;
mod parser;
mod syntax;

pub use field::{FieldRequirement, FieldSelector, FieldSelectorError};
pub use label::{LabelOperator, LabelRequirement, LabelSelector, Labels, SelectorError};
pub use syntax::{dns1123_subdomain_faults, label_value_faults, qualified_name_faults};
