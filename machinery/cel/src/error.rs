//! What can be wrong with an expression, and with evaluating one. Texts are upstream's.

use std::fmt;

use crate::authorizer::AuthorizerCheck;

/// Why an expression does not compile: one or more issues, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    source: Box<str>,
    issues: Vec<Issue>,
    /// It checks, and is no program all the same.
    instantiation: bool,
}

/// One thing wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Issue {
    /// Code points from the start; none where it is not of any place.
    pub(crate) at: Option<u32>,
    pub(crate) message: String,
}

/// Longer lines are not shown.
const SNIPPET_BYTES_MAX: usize = 16384;
/// More issues than this are counted, not shown.
const ISSUES_MAX: usize = 100;

impl CompileError {
    pub(crate) fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| issue.at);
        Self { source: source.into(), issues, instantiation: false }
    }

    pub(crate) fn instantiation(message: String) -> Self {
        Self { source: "".into(), issues: vec![Issue { at: None, message }], instantiation: true }
    }

    /// The issues as upstream prints them, without `compilation failed: ` or `program instantiation failed: `.
    pub fn issues(&self) -> String {
        if self.instantiation {
            return self.issues.iter().map(|issue| issue.message.as_str()).collect();
        }
        let mut text = String::new();
        for (index, issue) in self.issues.iter().take(ISSUES_MAX).enumerate() {
            if index > 0 {
                text.push('\n');
            }
            self.render(issue, &mut text);
        }
        if self.issues.len() > ISSUES_MAX {
            text.push_str(&format!("\n{} more errors were truncated", self.issues.len() - ISSUES_MAX));
        }
        text
    }

    fn render(&self, issue: &Issue, text: &mut String) {
        let Some(at) = issue.at else {
            text.push_str(&format!("ERROR: <input>:-1:0: {}", issue.message));
            return;
        };
        let (mut line, mut column) = (1, 0);
        let mut start = 0;
        for (index, (byte, c)) in self.source.char_indices().enumerate() {
            if index >= at as usize {
                break;
            }
            column += 1;
            if c == '\n' {
                (line, column, start) = (line + 1, 0, byte + 1);
            }
        }
        if self.source.is_empty() {
            // There is no place in it, and nothing to show.
            text.push_str(&format!("ERROR: <input>:1:0: {}", issue.message));
            return;
        }
        text.push_str(&format!("ERROR: <input>:{line}:{}: {}", column + 1, issue.message));
        let snippet = self.source[start..].split('\n').next().unwrap_or_default();
        if snippet.len() <= SNIPPET_BYTES_MAX {
            text.push_str("\n | ");
            text.push_str(&snippet.replace('\t', " "));
            text.push_str("\n | ");
            underline(snippet, column, text);
        }
    }
}

/// Dots up to the place and a caret under it; wide ones under what is not ASCII.
fn underline(snippet: &str, column: usize, text: &mut String) {
    let mut chars = snippet.chars();
    for _ in 0..column {
        let Some(c) = chars.next() else { break };
        text.push(if c.is_ascii() { '.' } else { '\u{ff0e}' });
    }
    text.push(if chars.next().is_none_or(|c| c.is_ascii()) { '^' } else { '\u{ff3e}' });
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.instantiation { "program instantiation" } else { "compilation" };
        write!(f, "{what} failed: {}", self.issues())
    }
}

impl std::error::Error for CompileError {}

/// Why an evaluation has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    #[error("no such key: {0}")]
    NoSuchKey(String),
    #[error("no such attribute(s): {0}")]
    NoSuchAttribute(String),
    #[error("no such overload")]
    NoSuchOverload,
    #[error("index out of bounds: {0}")]
    Index(i64),
    #[error("division by zero")]
    DivisionByZero,
    #[error("modulus by zero")]
    ModulusByZero,
    #[error("integer overflow")]
    IntegerOverflow,
    #[error("unsigned integer overflow")]
    UintOverflow,
    #[error("timestamp overflow")]
    TimestampOverflow,
    #[error("duration overflow")]
    DurationOverflow,
    /// Whatever a function of a library says.
    #[error("{0}")]
    Message(String),
    /// One evaluation costs more than [`PER_CALL_LIMIT`](crate::PER_CALL_LIMIT), in time or in memory.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
    /// The caller's budget is used up.
    #[error("validation failed due to running out of cost budget, no further validation rules will be run")]
    Budget,
    /// The authorizer must be asked first, and the evaluation repeated.
    #[error("the authorizer has not decided yet")]
    Pending(Box<AuthorizerCheck>),
}

impl EvalError {
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// Ends the whole evaluation: `||`, `&&` and macros do not absorb it, and it is not remembered.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::CostLimit | Self::Budget | Self::Pending(_))
    }
}
