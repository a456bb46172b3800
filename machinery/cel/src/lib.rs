//! CEL as Kubernetes 1.36 speaks it: the types of schemas, the libraries, and a cost model by which a rule that is too
//! dear is refused when it is written and stopped when it runs.
//!
//! A text takes this way: `parse` (the parser of the `cel` crate behind a guard; macros become loops) → `check` (names,
//! overloads and types) → `cost` (what it may cost at most) → `eval::plan` (operations) = a [`Program`], which is
//! evaluated against an [`Activation`], any number of times and from any thread.
//!
//! ```
//! use oarlock_cel::{Activation, Decl, Environment, RUNTIME_COST_BUDGET, Type};
//! # use oarlock_api::structural::Structural;
//! # use serde_json::json;
//!
//! let schema = Structural::read(&json!({"type": "object", "properties": {
//!     "replicas": {"type": "integer"}, "maxReplicas": {"type": "integer"},
//! }}));
//! let schema = Decl::from_structural(&schema, false).expect("a schema with a type");
//! let environment = Environment::kubernetes().variable("self", schema);
//! let program = environment.compile("self.replicas <= self.maxReplicas")?;
//! assert_eq!(*program.result_type(), Type::Bool);
//! assert_eq!(program.estimate().max, 5);
//!
//! let object = json!({"replicas": 3, "maxReplicas": 2});
//! let mut activation = Activation::new();
//! activation.json("self", &object); // read where it lies, against the declared type
//! let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
//! assert_eq!(outcome.value?.as_bool(), Some(false));
//! assert_eq!(outcome.cost, 5); // to subtract from the budget, also after an error
//!
//! let fault = environment.compile("self.replica > 0").unwrap_err();
//! assert!(fault.to_string().starts_with("compilation failed: ERROR: <input>:1:5: undefined field 'replica'"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - A [`Decl`] is a type with the sizes that estimates reckon with; from a schema, from the type table, or from a [`Type`].
//!   [`Decl::field`] and [`Decl::element`] walk down, so the tree of a schema is built once for all its rules.
//! - The `variables` of policies are [`Variables`]: each sees those before it, and is evaluated on first use, once an activation.
//! - An authoriser that cannot answer at once stops the evaluation with [`EvalError::Pending`], which no `||` and no macro
//!   absorbs; its question is answered, and the program evaluated again.
//! - What mutations make becomes JSON by [`Value::to_json`], after [`Value::check_object_names`].
//!
//! Of the `cel` crate only the parser and its tree are used. Its evaluator cannot be stopped by a budget of costs, wants
//! its variables converted before it starts, does not know static types (so there is nothing from which to reckon
//! costs beforehand, and no error before the first evaluation), and lacks the two-variable comprehensions. So the
//! evaluator is ours: it reads JSON where it lies, against the type that was declared, and counts as upstream counts.
//!
//! What is hostile is bounded: length and depth of an expression before it is parsed, the size of types and the steps of
//! checking, the cost, the steps, the depth and the memory of an evaluation, and the size of compiled regular expressions.

mod activation;
mod authorizer;
mod check;
pub mod cost;
mod environment;
mod error;
mod eval;
mod expr;
mod functions;
mod parse;
mod program;
mod re2;
mod schema;
mod text;
mod time;
mod types;
mod value;

pub use activation::{Activation, Variables};
pub use authorizer::{Authorize, AuthorizerCheck, CheckResult, Decision, ResourceCheck, Subject, Target};
pub use environment::Environment;
pub use error::{CompileError, EvalError};
pub use functions::{NamedFormat, Semver};
pub use program::{Outcome, Program};
pub use schema::{escape, unescape};
pub use time::Instant;
pub use types::{Decl, Library, ListType, MapType, Object, ObjectDecl, Type};
pub use value::{Key, List, Made, Map, Opaque, Text, UrlValue, Value};

/// What one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// What all evaluations for one request may cost.
pub const RUNTIME_COST_BUDGET: u64 = 10_000_000;
/// What a rule of a custom resource may cost at most by its estimate.
pub const STATIC_COST_LIMIT: u64 = 10_000_000;
/// What all rules of a custom resource may cost together by their estimates.
pub const STATIC_COST_LIMIT_TOTAL: u64 = 100_000_000;
