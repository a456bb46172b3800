//! The cost model: what an evaluation may cost, reckoned beforehand from declared sizes, and what it does cost. Both are
//! upstream's, number by number: a rule that upstream accepts must be accepted here, and no other.

mod calls;
mod estimate;
mod runtime;
mod size;

pub(crate) use estimate::estimate;
pub(crate) use runtime::{of_call, of_result};
pub use size::{CostEstimate, SizeEstimate};

/// A name or a selection; making a list, a map, an object.
pub(crate) const IDENT: u64 = 1;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;

/// Per byte or code point walked, and per character of a regular expression.
const TRAVERSAL: f64 = 0.1;
const REGEX: f64 = 0.25;
/// An authorization check; so dear that an expression has two.
const CHECK: u64 = 350_000;
/// A selector: a requirement takes two characters at least, and a struct and a list to hold it.
const REQUIREMENTS_PER_CHARACTER: f64 = 0.5;
const PER_REQUIREMENT: f64 = (LIST + STRUCT) as f64;
/// The longest regular expression of a format of names, and the longest format.
const FORMAT_REGEX_MAX: f64 = 128.0;
const FORMAT_MAX: u64 = 64;

/// Whether an overload walks both its arguments until they differ.
fn compares_bytes(overload: &str) -> bool {
    let ordered = overload.strip_suffix("_string").or_else(|| overload.strip_suffix("_bytes"));
    matches!(ordered, Some("less" | "greater" | "less_equals" | "greater_equals"))
        || matches!(overload, "equals" | "not_equals")
}

#[cfg(test)]
mod tests;
