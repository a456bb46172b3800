//! From text to [`Expr`]: the parser of the `cel` crate, behind a guard, and its tree lowered into ours.
//!
//! The parser is upstream's grammar run by the same tool, so its syntax errors read as upstream's. What it lacks is a
//! bound on chains (`a.a.a…`, `1+1+…` nest as deep as they are long), so the guard bounds them before it sees them, and
//! what nests deeply is parsed on a thread with a stack of its own.

mod guard;
mod lower;
mod macros;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::parser::{ParseErrors, Parser};

use crate::error::{CompileError, Issue};
use crate::expr::Expr;

/// The stack for what nests deeper than [`guard::SHALLOW`]; pages are taken only when touched.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Parses and expands macros; `bindings`: `cel.bind` is one.
pub(crate) fn parse(source: &str, bindings: bool) -> Result<Expr, CompileError> {
    let depth = guard::check(source)
        .map_err(|message| CompileError::new(source, vec![Issue { at: None, message }]))?;
    let lowered =
        if depth <= guard::SHALLOW { parse_here(source, bindings) } else { parse_aside(source, bindings) };
    lowered.map_err(|issues| CompileError::new(source, issues))
}

fn parse_aside(source: &str, bindings: bool) -> Result<Expr, Vec<Issue>> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse_here(source, bindings));
        match parser.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(parsed)) => parsed,
            _ => Err(internal("no parser for so deep an expression")),
        }
    })
}

fn parse_here(source: &str, bindings: bool) -> Result<Expr, Vec<Issue>> {
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        Parser::new()
            .max_recursion_depth(guard::DEPTH_MAX as u16)
            .enable_optional_syntax(true)
            .parse_with_source_info(source)
    }));
    match parsed {
        Ok(Ok((tree, info))) => lower::lower(source, tree, &info, bindings),
        Ok(Err(errors)) => Err(issues(source, &errors)),
        Err(_) => Err(internal("internal parser error")),
    }
}

/// Where Go's parser, with the same grammar, says it otherwise: a keyword after a dot.
fn in_go(message: &str) -> String {
    let keyword = message
        .strip_prefix("Syntax error: no viable alternative at input '.")
        .and_then(|rest| rest.strip_suffix('\''))
        .filter(|word| matches!(*word, "true" | "false" | "null" | "in"));
    keyword.map_or_else(
        || message.to_owned(),
        |word| format!("Syntax error: mismatched input '{word}' expecting IDENTIFIER"),
    )
}

fn internal(message: &str) -> Vec<Issue> {
    vec![Issue { at: None, message: message.to_owned() }]
}

/// The parser tells places as line and column, both from one.
fn issues(source: &str, errors: &ParseErrors) -> Vec<Issue> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(source.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(index, _)| index + 1))
        .collect();
    errors
        .errors
        .iter()
        .map(|error| {
            let line = usize::try_from(error.pos.0).ok().and_then(|line| line.checked_sub(1));
            let column = usize::try_from(error.pos.1).ok().and_then(|column| column.checked_sub(1));
            let at = line
                .and_then(|line| starts.get(line))
                .zip(column)
                .map(|(start, column)| (start + column) as u32);
            Issue { at, message: in_go(&error.msg) }
        })
        .collect()
}
