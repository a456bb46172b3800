//! What an expression may refer to: variables, and the types that it may make. Functions are the same everywhere.

use std::sync::Arc;

use crate::check::{self, constructible};
use crate::error::CompileError;
use crate::parse;
use crate::program::Program;
use crate::types::{Decl, Object, Type};

/// Declares what expressions see, and compiles them. Cheap to build and to clone.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: Vec<(Arc<str>, Decl)>,
    mutation: bool,
    bindings: bool,
    unfolded: bool,
}

impl Environment {
    /// Everything that Kubernetes 1.36 has in every expression, and no variables.
    pub fn kubernetes() -> Self {
        Self::default()
    }

    /// Declares a variable, or declares it anew. The name may be qualified: `authorizer.requestResource`.
    #[must_use]
    pub fn variable(mut self, name: &str, decl: impl Into<Decl>) -> Self {
        self.variables.retain(|(known, _)| **known != *name);
        self.variables.push((name.into(), decl.into()));
        self
    }

    /// Adds `Object{}`, `Object.spec{}` …, `JSONPatch{}` and `jsonpatch.escapeKey`: MutatingAdmissionPolicy.
    #[must_use]
    pub fn mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// Adds `cel.bind(name, value, expression)`: selectors of devices. Other expressions of 1.36 do not have it.
    #[must_use]
    pub fn bindings(mut self) -> Self {
        self.bindings = true;
        self
    }

    /// Evaluates what is constant each time: for tests of costs, which upstream reckons so.
    #[cfg(test)]
    pub(crate) fn unfolded(mut self) -> Self {
        self.unfolded = true;
        self
    }

    /// Parses and checks an expression. Costs time in the order of its length; keep the program.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let checked = check::check(self, source, parse::parse(source, self.bindings)?)?;
        Ok(Program::new(self, &checked))
    }

    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Decl)> {
        let at = self.variables.iter().position(|(known, _)| **known == *name)?;
        Some((at, &self.variables[at].1))
    }

    pub(crate) fn variables(&self) -> &[(Arc<str>, Decl)] {
        &self.variables
    }

    pub(crate) fn is_mutation(&self) -> bool {
        self.mutation
    }

    pub(crate) fn folds(&self) -> bool {
        !self.unfolded
    }

    /// The type that `name{}` makes.
    pub(crate) fn object_named(&self, name: &str) -> Option<Object> {
        if self.mutation {
            return constructible(name);
        }
        None
    }

    /// The type of a declared variable.
    pub fn type_of(&self, name: &str) -> Option<&Type> {
        self.find(name).map(|(_, decl)| &decl.ty)
    }
}
