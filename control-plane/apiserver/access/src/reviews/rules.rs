//! What one may do in a namespace. (SelfSubjectRulesReview)

use oarlock_api::Status;
use serde_json::{Value, json};

use crate::types::{Authorizer, User};
use crate::value::text;

pub(super) async fn own(authorizer: &dyn Authorizer, request: &Value, user: &User) -> Result<Value, Status> {
    let namespace = text(request, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let rules = authorizer.rules_for(user, namespace).await;
    let mut status = json!({
        "resourceRules": rules.resource_rules,
        "nonResourceRules": rules.non_resource_rules,
        "incomplete": rules.incomplete,
    });
    if !rules.evaluation_error.is_empty() {
        status["evaluationError"] = rules.evaluation_error.into();
    }
    Ok(status)
}
