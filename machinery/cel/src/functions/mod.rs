//! Every function that expressions can call: its overloads, for the checker and the cost model, and what runs it.
//!
//! One table, built on first use and shared by all environments. A function is run by its name alone and looks at the
//! values it is given, since arguments of type dyn are known only then. Signatures are text: `.string, string -> bool`
//! is a member function of strings; capital letters stand for any type.

mod authz;
mod convert;
mod format;
mod ip_fault;
mod lists;
mod network;
mod operators;
mod optional;
mod quantity;
mod semver;
mod signature;
mod strings;
mod text_format;
mod time;
mod url;

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::activation::Activation;
use crate::environment::Environment;
use crate::error::EvalError;
use crate::eval::Meter;
use crate::types::Type;
use crate::value::Value;

pub(crate) use authz::resource_check;
pub(crate) use convert::is_conversion;
pub use format::NamedFormat;
pub(crate) use operators::{add, insert};
pub use semver::Semver;

/// A function and all its overloads.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
    pub(crate) run: Run,
    /// Only where objects are made: MutatingAdmissionPolicy.
    mutation: bool,
}

#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    /// The letters that stand for types.
    pub(crate) letters: Vec<char>,
}

/// What a call may use besides its arguments.
pub(crate) struct Call<'c, 'a> {
    pub(crate) activation: &'c Activation<'a>,
    pub(crate) meter: &'c Meter,
    /// The overload, where the types left no choice.
    pub(crate) overload: Option<&'static Overload>,
    /// The pattern, where it was written out and compiled beforehand.
    pub(crate) regex: Option<&'c Regex>,
}

pub(crate) type Outcome<'a> = Result<Value<'a>, EvalError>;

/// Runs a call; a member function's target is its first argument.
#[derive(Clone, Copy)]
pub(crate) struct Run(pub(crate) for<'a> fn(&Call<'_, 'a>, &[Value<'a>]) -> Outcome<'a>);

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fn")
    }
}

/// A row of a library's table.
struct Row {
    name: &'static str,
    overloads: &'static [(&'static str, &'static str)],
    run: Run,
}

const fn row(
    name: &'static str,
    overloads: &'static [(&'static str, &'static str)],
    run: for<'a> fn(&Call<'_, 'a>, &[Value<'a>]) -> Outcome<'a>,
) -> Row {
    Row { name, overloads, run: Run(run) }
}

static TABLE: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let libraries: [&[Row]; 12] = [
        operators::ROWS,
        convert::ROWS,
        strings::ROWS,
        lists::ROWS,
        optional::ROWS,
        time::ROWS,
        url::ROWS,
        network::ROWS,
        quantity::ROWS,
        semver::ROWS,
        format::ROWS,
        authz::ROWS,
    ];
    let mut table = HashMap::new();
    for row in libraries.into_iter().flatten() {
        let overloads = row.overloads.iter().map(|(id, text)| signature::parse(id, text)).collect();
        let mutation = row.name.starts_with("jsonpatch.");
        let function = Function { name: row.name, overloads, run: row.run, mutation };
        let before = table.insert(row.name, function);
        debug_assert!(before.is_none(), "{} stands in the table twice", row.name);
    }
    operators::add_comparisons(&mut table);
    lists::add_comparable(&mut table);
    table
});

/// The function of this name, if the environment has it.
pub(crate) fn find(name: &str, environment: &Environment) -> Option<&'static Function> {
    TABLE.get(name).filter(|function| !function.mutation || environment.is_mutation())
}

pub(crate) fn no_overload<'a>() -> Outcome<'a> {
    Err(EvalError::NoSuchOverload)
}
