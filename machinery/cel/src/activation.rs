//! What the variables of an expression are, for one evaluation or for several about the same object.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::authorizer::{Authorize, ResourceCheck, Subject};
use crate::error::EvalError;
use crate::functions;
use crate::program::Program;
use crate::types::{Decl, Type};
use crate::value::{Opaque, Value};

/// Binds variables. Holds what it binds by reference; values that come out of evaluations do not refer to it.
#[derive(Default)]
pub struct Activation<'a> {
    bindings: Vec<(&'a str, Binding<'a>)>,
    authorizer: Option<&'a dyn Authorize>,
    variables: Option<&'a Variables>,
    /// The variables that were evaluated already.
    known: Vec<OnceCell<Result<Value<'a>, EvalError>>>,
    depth: Cell<usize>,
}

#[derive(Clone)]
enum Binding<'a> {
    Json(&'a Json),
    Value(Value<'a>),
}

/// The `variables` of a policy: programs by name, each of which sees those before it.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    programs: Vec<(Arc<str>, Arc<Program>)>,
}

/// How deep evaluations may recurse, those of variables that refer to variables included: as deep as a worker's stack
/// of 2 MiB holds in an unoptimised build, and more than an expression that means something needs.
const DEPTH_MAX: usize = 320;

impl Variables {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable; it must have been compiled where `variables` was [`decl`](Self::decl) before this call.
    pub fn add(&mut self, name: &str, program: Arc<Program>) {
        self.programs.push((name.into(), program));
    }

    /// The type of `variables` so far.
    pub fn decl(&self) -> Decl {
        let fields =
            self.programs.iter().map(|(name, program)| (&**name, Decl::from(program.result_type().clone())));
        Type::object("kubernetes.variables", fields).into()
    }

    pub fn get(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|(known, _)| **known == *name).map(|(_, program)| &**program)
    }
}

impl<'a> Activation<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds JSON, to be read against the type that the variable was declared with.
    pub fn json(&mut self, name: &'a str, json: &'a Json) -> &mut Self {
        self.bind(name, Binding::Json(json))
    }

    /// Binds a value.
    pub fn value(&mut self, name: &'a str, value: Value<'a>) -> &mut Self {
        self.bind(name, Binding::Value(value))
    }

    /// Binds `authorizer`, and answers its checks with this.
    pub fn authorizer(&mut self, authorizer: &'a dyn Authorize) -> &mut Self {
        self.authorizer = Some(authorizer);
        let value = Value::Library(Opaque::Authorizer(Arc::new(Subject::Requester)));
        self.bind("authorizer", Binding::Value(value))
    }

    /// Binds `authorizer.requestResource`.
    pub fn request_resource(&mut self, resource: ResourceCheck) -> &mut Self {
        let value = functions::resource_check(Subject::Requester, resource);
        self.bind("authorizer.requestResource", Binding::Value(value))
    }

    /// Binds `variables`. Each is evaluated when it is first used, and then remembered.
    pub fn variables(&mut self, variables: &'a Variables) -> &mut Self {
        self.known = variables.programs.iter().map(|_| OnceCell::new()).collect();
        self.variables = Some(variables);
        self
    }

    fn bind(&mut self, name: &'a str, binding: Binding<'a>) -> &mut Self {
        self.bindings.retain(|(known, _)| *known != name);
        self.bindings.push((name, binding));
        self
    }

    pub(crate) fn authorizer_trait(&self) -> Option<&'a dyn Authorize> {
        self.authorizer
    }

    /// The value of a variable, read as it was declared.
    pub(crate) fn lookup(&self, name: &str, decl: &'a Decl) -> Result<Value<'a>, EvalError> {
        let binding = self.bindings.iter().find(|(known, _)| *known == name).map(|(_, binding)| binding);
        match binding {
            Some(Binding::Json(json)) => crate::value::read(json, decl),
            Some(Binding::Value(value)) => Ok(value.clone()),
            None => Err(EvalError::NoSuchAttribute(name.to_owned())),
        }
    }

    /// One level further down; [`leave`](Self::leave) ends it.
    pub(crate) fn enter(&self) -> Result<(), EvalError> {
        if self.depth.get() >= DEPTH_MAX {
            return Err(EvalError::CostLimit);
        }
        self.depth.set(self.depth.get() + 1);
        Ok(())
    }

    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    /// `variables.name` and what it cost to find out; none if there is no such variable.
    pub(crate) fn variable(&self, name: &str, budget: u64) -> Option<(Result<Value<'a>, EvalError>, u64)> {
        let variables = self.variables?;
        let at = variables.programs.iter().position(|(known, _)| **known == *name)?;
        if let Some(known) = self.known[at].get() {
            return Some((known.clone(), 0));
        }
        let outcome = variables.programs[at].1.evaluate(self, budget);
        if !outcome.value.as_ref().is_err_and(EvalError::is_fatal) {
            // It may be known by now if it refers to itself, which no checked variable does.
            let _ = self.known[at].set(outcome.value.clone());
        }
        Some((outcome.value, outcome.cost))
    }
}
