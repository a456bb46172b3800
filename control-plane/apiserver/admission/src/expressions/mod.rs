//! CEL in admission: what expressions see, how they are compiled, and how they are asked. (`admission/plugin/cel`)

mod asker;
mod compile;
mod conditions;
mod inputs;
mod scope;

pub(crate) use asker::{Asker, Pending};
pub(crate) use compile::{Compiled, Returns, compile};
pub(crate) use conditions::{Conditions, Outcome};
pub(crate) use inputs::{Inputs, namespace_value, request_value};
pub(crate) use scope::Scope;

/// What all expressions of one policy may cost on one request. (`RuntimeCELCostBudget`)
pub(crate) const BUDGET: u64 = 10_000_000;
/// What all match conditions may cost. (`RuntimeCELCostBudgetMatchConditions`)
pub(crate) const CONDITIONS_BUDGET: u64 = 2_500_000;
