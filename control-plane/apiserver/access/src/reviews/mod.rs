//! The six kinds that ask the API server about access instead of storing anything: the request comes back with its
//! status filled.

mod access;
mod rules;
mod user;

use std::sync::Arc;

use oarlock_api::{FieldErrors, GroupKind, Status};
use serde_json::Value;

use crate::authentication::{ServiceAccountTokens, TokenAuthenticator};
use crate::types::{Authorizer, User};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers reviews.
pub struct Reviews {
    tokens: Arc<dyn TokenAuthenticator>,
    authorizer: Arc<dyn Authorizer>,
}

impl Reviews {
    pub fn new(tokens: Arc<ServiceAccountTokens>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self::with(tokens, authorizer)
    }

    /// With every authenticator of tokens that requests are asked of.
    pub fn with(tokens: Arc<dyn TokenAuthenticator>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { tokens, authorizer }
    }

    /// `namespace` is the request's (of LocalSubjectAccessReview only). A kind that is no review is a bad request.
    pub async fn review(
        &self,
        kind: &str,
        mut request: Value,
        user: &Arc<User>,
        namespace: &str,
    ) -> Result<Value, Status> {
        if !request.is_object() {
            return Err(Status::bad_request(format!("not a {kind}: {request}")));
        }
        let status = match kind {
            "TokenReview" => user::token_review(&*self.tokens, &request).await?,
            "SelfSubjectReview" => user::self_subject_review(&mut request, user),
            "SubjectAccessReview" => access::subject(&*self.authorizer, &request).await?,
            "LocalSubjectAccessReview" => access::local(&*self.authorizer, &mut request, namespace).await?,
            "SelfSubjectAccessReview" => access::own(&*self.authorizer, &request, user).await?,
            "SelfSubjectRulesReview" => rules::own(&*self.authorizer, &request, user).await?,
            other => return Err(Status::bad_request(format!("{other} is not a review"))),
        };
        let group =
            if matches!(kind, "TokenReview" | "SelfSubjectReview") { AUTHENTICATION } else { AUTHORIZATION };
        request["apiVersion"] = format!("{group}/v1").into();
        request["kind"] = kind.into();
        request["status"] = status;
        Ok(request)
    }
}

fn valid(kind: &str, errors: &FieldErrors) -> Result<(), Status> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new(AUTHORIZATION, kind), "", errors))
    }
}

#[cfg(test)]
mod tests;
