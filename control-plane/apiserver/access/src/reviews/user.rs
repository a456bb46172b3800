//! Who somebody is: by a token (TokenReview), or oneself (SelfSubjectReview).

use jiff::Timestamp;
use oarlock_api::Status;
use serde_json::{Value, json};

use crate::authentication::TokenAuthenticator;
use crate::types::User;
use crate::value::{text, texts};

pub(super) async fn token_review(tokens: &dyn TokenAuthenticator, request: &Value) -> Result<Value, Status> {
    let token = text(request, &["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(request, &["spec", "audiences"]);
    Ok(match tokens.check(token, &audiences).await {
        Ok(Some(holder)) => {
            let mut status = json!({"authenticated": true, "user": holder.user.to_value()});
            status["audiences"] = holder.audiences.into();
            status
        }
        Ok(None) => json!({"user": {}, "error": "invalid bearer token"}),
        Err(error) => json!({"user": {}, "error": format!("[invalid bearer token, {error}]")}),
    })
}

pub(super) fn self_subject_review(request: &mut Value, user: &User) -> Value {
    request["metadata"]["creationTimestamp"] =
        Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    json!({"userInfo": user.to_value()})
}
