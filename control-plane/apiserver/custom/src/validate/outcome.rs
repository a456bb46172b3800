//! What validating a value against a schema gave: its faults, and how much of it fitted (which picks the alternative whose
//! faults are told).

use std::collections::HashSet;

use oarlock_api::field::Fault;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

/// More faults than anybody reads; what comes after is not told.
const PROBLEMS_MAX: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) problems: Vec<Problem>,
    pub(super) fits: u64,
}

#[derive(Debug)]
pub(super) struct Problem {
    /// Below the value that was asked for; none for what is told of alternatives, whose text names its place.
    pub(super) at: Option<String>,
    pub(super) fault: Fault,
}

impl Outcome {
    pub(super) fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn add(&mut self, at: &str, fault: Fault) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { at: Some(at.to_string()), fault });
        }
    }

    /// Of `allOf`, `anyOf`, `oneOf` and `not`.
    pub(super) fn add_general(&mut self, detail: String) {
        let fault = Fault::Invalid { value: Value::from(""), detail };
        self.problems.push(Problem { at: None, fault });
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.fits += other.fits;
        let room = PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.into_iter().take(room));
    }

    /// The faults of a value that did not change are not told.
    pub(super) fn forgive(&mut self) {
        self.problems.clear();
    }

    /// Each fault once, under `path`.
    pub(super) fn into_errors(self, path: &Path) -> FieldErrors {
        let mut told = HashSet::new();
        let errors = self.problems.into_iter().map(|problem| {
            let below = problem.at.as_deref().unwrap_or_default();
            let below = below.strip_prefix('.').unwrap_or(below);
            let path = if below.is_empty() { path.clone() } else { path.child(below) };
            FieldError { path, fault: problem.fault }
        });
        errors.filter(|error| told.insert(error.to_string())).collect()
    }
}
