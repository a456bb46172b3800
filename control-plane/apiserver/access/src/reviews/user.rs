//! Who somebody is: by a token (TokenReview), or oneself (SelfSubjectReview).

use jiff::Timestamp;
use oarlock_api::Status;
use serde_json::{Map, Value, json};

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
            let mut status = json!({"authenticated": true, "user": user_info(&holder.user)});
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
    json!({"userInfo": user_info(user)})
}

/// `authentication.k8s.io/v1` UserInfo; what is empty is left out.
fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(field.into(), text.clone().into());
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    info.into()
}
