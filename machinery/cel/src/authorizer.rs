//! What expressions ask of an authorizer. CEL is synchronous; who must wait for an answer says so, and evaluates again.

/// Answers `authorizer.….check(…)`.
///
/// An authorizer that must await (a webhook) answers [`CheckResult::Pending`]; the evaluation then ends with
/// [`EvalError::Pending`](crate::EvalError::Pending), which holds the question. The caller resolves it, keeps the answer
/// where this trait finds it, and evaluates again.
pub trait Authorize: Sync {
    fn check(&self, check: &AuthorizerCheck) -> CheckResult;
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthorizerCheck {
    pub user: Subject,
    pub verb: String,
    pub target: Target,
}

/// Whose permission is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Who made the request.
    #[default]
    Requester,
    /// `authorizer.serviceAccount(namespace, name)`
    ServiceAccount { namespace: String, name: String },
}

/// What permission is asked for: a path that is no resource, or a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    Path(String),
    Resource(ResourceCheck),
}

/// What `authorizer.group("apps").resource("deployments")…` says so far. Selectors are as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ResourceCheck {
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

/// What an authoriser says at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    Decided(Decision),
    /// Not known yet.
    Pending,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}
