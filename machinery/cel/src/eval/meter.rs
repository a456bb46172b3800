//! What an evaluation has used: cost, as upstream reckons it, and beside it steps, memory and depth, which upstream's cost
//! does not see. Whichever runs out ends the evaluation.

use std::cell::Cell;

use crate::error::EvalError;

/// Elements looked at; far beyond what the cost limit lets an honest expression reach.
const STEPS_MAX: u64 = 5_000_000;
/// Elements of one list or map, and bytes of one string, that an expression may make.
const ELEMENTS_MAX: usize = 2_000_000;
pub(crate) const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How deep values may nest when they are walked.
const DEPTH_MAX: u32 = 128;

/// Counts one evaluation.
#[derive(Debug)]
pub(crate) struct Meter {
    cost: Cell<u64>,
    limit: u64,
    /// The limit is the caller's budget, not the limit per call.
    budget: bool,
    steps: Cell<u64>,
    depth: Cell<u32>,
}

impl Meter {
    /// Ends at the limit per call, or at the caller's budget where that is smaller.
    pub(crate) fn new(budget: u64) -> Self {
        let limit = budget.min(crate::PER_CALL_LIMIT);
        Self { limit, budget: budget < crate::PER_CALL_LIMIT, ..Self::unlimited() }
    }

    /// Bounded in steps and memory only.
    pub(crate) fn unlimited() -> Self {
        Self { cost: Cell::new(0), limit: u64::MAX, budget: false, steps: Cell::new(0), depth: Cell::new(0) }
    }

    pub(crate) fn cost(&self) -> u64 {
        self.cost.get()
    }

    pub(crate) fn charge(&self, cost: u64) -> Result<(), EvalError> {
        let cost = self.cost.get().saturating_add(cost);
        self.cost.set(cost);
        if cost <= self.limit { Ok(()) } else { Err(self.exceeded()) }
    }

    /// Nothing is done whose cost would exceed the limit.
    pub(crate) fn afford(&self, cost: u64) -> Result<(), EvalError> {
        if self.cost.get().saturating_add(cost) <= self.limit { Ok(()) } else { Err(self.exceeded()) }
    }

    fn exceeded(&self) -> EvalError {
        if self.budget { EvalError::Budget } else { EvalError::CostLimit }
    }

    pub(crate) fn step(&self, steps: usize) -> Result<(), EvalError> {
        let steps = self.steps.get().saturating_add(steps as u64);
        self.steps.set(steps);
        if steps <= STEPS_MAX { Ok(()) } else { Err(EvalError::CostLimit) }
    }

    /// A list or map of this many elements is held.
    pub(crate) fn hold(&self, elements: usize) -> Result<(), EvalError> {
        if elements <= ELEMENTS_MAX { Ok(()) } else { Err(EvalError::CostLimit) }
    }

    /// A string of this many bytes is about to be made.
    pub(crate) fn make(&self, bytes: usize) -> Result<(), EvalError> {
        if bytes > BYTES_MAX {
            return Err(EvalError::CostLimit);
        }
        self.step(bytes / 64)
    }

    /// Runs a walk one level further down.
    pub(crate) fn deeper<T>(&self, walk: impl FnOnce() -> Result<T, EvalError>) -> Result<T, EvalError> {
        let depth = self.depth.get() + 1;
        if depth > DEPTH_MAX {
            return Err(EvalError::CostLimit);
        }
        self.depth.set(depth);
        let result = walk();
        self.depth.set(depth - 1);
        result
    }
}
