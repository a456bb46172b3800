//! CEL in the configurations of authentication and authorisation: compiled once, evaluated per credential or request.

use std::sync::Arc;

use oarlock_api::Table;
use oarlock_cel::{Activation, Decl, Environment, Program, RUNTIME_COST_BUDGET, Type};
use serde_json::Value;

/// What an expression is about: the name and the shape of its one variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// `claims` of a token.
    Claims,
    /// `user`, as claims were mapped to it.
    User,
    /// `request`: the SubjectAccessReviewSpec of what is asked for.
    Request,
}

/// What an expression must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Bool,
    Text,
    /// A string or a list of them.
    Texts,
}

#[derive(Clone)]
pub(crate) struct Expression {
    text: String,
    program: Arc<Program>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.text)
    }
}

impl Over {
    fn variable(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::User => "user",
            Self::Request => "request",
        }
    }

    fn decl(self) -> Decl {
        match self {
            Self::Claims => Type::map(Type::String, Type::Dyn).into(),
            Self::User => Type::object(
                "kubernetes.UserInfo",
                [
                    ("username", Type::String.into()),
                    ("uid", Type::String.into()),
                    ("groups", Type::list(Type::String).into()),
                    ("extra", Type::map(Type::String, Type::list(Type::String)).into()),
                ],
            )
            .into(),
            Self::Request => {
                let review = Table::builtin().type_of("authorization.k8s.io", "v1", "SubjectAccessReview");
                let review = Decl::of(review.expect("the table holds SubjectAccessReview"));
                review.field("spec").expect("a review has a spec").clone()
            }
        }
    }
}

impl Want {
    fn accepts(self, given: &Type) -> bool {
        let text = |given: &Type| *given == Type::String || *given == Type::Dyn;
        match self {
            Self::Bool => *given == Type::Bool,
            Self::Text => text(given),
            Self::Texts => {
                text(given) || *given == Type::list(Type::String) || *given == Type::list(Type::Dyn)
            }
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Bool => "must evaluate to bool",
            Self::Text => "must evaluate to string",
            Self::Texts => "must evaluate to one of [string list]",
        }
    }
}

impl Expression {
    pub(crate) fn compile(text: &str, over: Over, want: Want) -> Result<Self, String> {
        let environment = Environment::kubernetes().variable(over.variable(), over.decl());
        let program = environment.compile(text).map_err(|error| error.to_string())?;
        if !want.accepts(program.result_type()) {
            return Err(want.told().into());
        }
        Ok(Self { text: text.into(), program: Arc::new(program) })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path (`claims.email`) stands in it, not as the beginning of a longer name.
    pub(crate) fn mentions(&self, path: &str) -> bool {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        self.text.match_indices(path).any(|(at, _)| {
            let before = self.text[..at].bytes().last();
            let after = self.text[at + path.len()..].bytes().next();
            !before.is_some_and(|b| name(b) || b == b'.') && !after.is_some_and(name)
        })
    }

    pub(crate) fn evaluate(&self, over: Over, value: &Value) -> Result<Value, String> {
        let mut activation = Activation::new();
        activation.json(over.variable(), value);
        let outcome = self.program.evaluate(&activation, RUNTIME_COST_BUDGET);
        let given = outcome.value.map_err(|error| error.to_string())?;
        given.to_json().map_err(|error| error.to_string())
    }
}
