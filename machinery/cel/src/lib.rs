//! CEL as Kubernetes 1.36 speaks it: the types of schemas, the libraries, and a cost model by which a rule that is too
//! dear is refused when it is written and stopped when it runs.
//!
//! A text takes this way: `parse` (the parser of the `cel` crate behind a guard; macros become loops) → `check` (names,
//! overloads and types) → `cost` (what it may cost at most) → `eval::plan` (operations) = a [`Program`], which is
//! evaluated against an [`Activation`].
//!
//! Of the `cel` crate only the parser and its tree are used. Its evaluator cannot be stopped by a budget of costs, wants
//! its variables converted before it starts, does not know static types (so there is nothing from which to reckon
//! costs beforehand, and no error before the first evaluation), and lacks the two-variable comprehensions. So the
//! evaluator is ours: it reads JSON where it lies, against the type that was declared, and counts as upstream counts.
//!
//! What is hostile is bounded: length and depth of an expression before it is parsed, the size of types and the steps of
//! checking, the cost, the steps, the depth and the memory of an evaluation, and the size of compiled regular expressions.
//!
//! How to use it stands in WIRING.md beside this crate's manifest.

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
/// What a rule of a custom resource may cost at most by its estimate, and all rules of one.
pub const STATIC_COST_LIMIT: u64 = 10_000_000;
pub const STATIC_COST_LIMIT_TOTAL: u64 = 100_000_000;
