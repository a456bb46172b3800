//! `x-kubernetes-validations`: not enforced until oarlock-cel can compile; then the rules of a schema, compiled once.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldErrors, Path};
use serde_json::Value;

use crate::correlate::Correlated;

pub(crate) const RUNTIME_BUDGET: u64 = 10_000_000;

#[derive(Debug)]
pub(crate) struct Rules(std::convert::Infallible);

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) errors: FieldErrors,
    pub(crate) forgiven: Vec<String>,
    pub(crate) left: u64,
}

impl Rules {
    pub(crate) fn compile(_schema: &Structural) -> Option<Self> {
        None
    }

    pub(crate) fn check(
        &self,
        _: &Path,
        _: &Value,
        _: Option<&Value>,
        _: Option<Correlated<'_>>,
        _: u64,
    ) -> Answer {
        match self.0 {}
    }
}
