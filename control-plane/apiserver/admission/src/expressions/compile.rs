//! One expression: compiled, and of the type that its place wants.

use oarlock_cel::{Environment, Program, Type};

use crate::metrics::timed_compilation;

/// What an expression must evaluate to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returns {
    Bool,
    String,
    StringOrNull,
    Any,
    /// A list of JSONPatch.
    Patches,
    /// `Object{…}`
    Object,
}

/// A program, or why there is none.
pub(crate) type Compiled = Result<Program, String>;

/// The error is upstream's text: `compilation failed: ERROR: …`, `must evaluate to bool but got string`.
pub(crate) fn compile(environment: &Environment, source: &str, returns: Returns) -> Compiled {
    let program = timed_compilation(|| environment.compile(source)).map_err(|e| e.to_string())?;
    let got = program.result_type();
    let wanted = match returns {
        Returns::Any => return Ok(program),
        Returns::Bool => "bool",
        Returns::String => "string",
        Returns::StringOrNull => {
            if matches!(got, Type::String | Type::Null) {
                return Ok(program);
            }
            return Err(format!("must evaluate to one of [string null_type] but got {got}"));
        }
        Returns::Patches => "list(JSONPatch)",
        Returns::Object => "Object",
    };
    let told = got.to_string();
    if told == wanted { Ok(program) } else { Err(format!("must evaluate to {wanted} but got {told}")) }
}
