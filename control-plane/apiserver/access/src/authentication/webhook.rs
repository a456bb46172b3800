//! Tokens that somebody else knows: TokenReview by webhook, its answers kept for a while.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oarlock_apiserver_webhook::{Client, RETRY_BACKOFF, post_with_retries};
use serde_json::{Value, json};

use super::TokenHolder;
use super::tokens::{AnswerCache, ApiAudiences, TokenAuthenticator};
use crate::types::{AuthenticationError, User};
use crate::value::{at, text, texts};

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct WebhookTokens {
    client: Arc<Client>,
    version: String,
    audiences: ApiAudiences,
    answers: AnswerCache,
}

impl WebhookTokens {
    /// `version` is of TokenReview, `v1` or `v1beta1`.
    pub fn new(client: Arc<Client>, version: &str, ttl: Duration, api_audiences: Vec<String>) -> Self {
        let answers = AnswerCache::new(ttl, ttl);
        Self { client, version: version.into(), audiences: ApiAudiences(api_audiences), answers }
    }

    async fn ask(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let wanted = if audiences.is_empty() { &self.audiences.0 } else { audiences };
        let review = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.version),
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": wanted},
        });
        let body = review.to_string().into_bytes().into();
        let answered = post_with_retries(&self.client, body, Some(TIMEOUT), RETRY_BACKOFF).await;
        let answered = answered.map_err(|error| AuthenticationError(error.to_string()))?;
        let review: Value =
            serde_json::from_slice(&answered).map_err(|error| AuthenticationError(error.to_string()))?;
        read(&review["status"], wanted, &self.audiences.0)
    }
}

/// What the answer says.
fn read(
    status: &Value,
    wanted: &[String],
    api_audiences: &[String],
) -> Result<Option<TokenHolder>, AuthenticationError> {
    if status["authenticated"] != true {
        return match text(status, &["error"]) {
            "" => Ok(None),
            error => Err(AuthenticationError(error.into())),
        };
    }
    let told = texts(status, &["audiences"]);
    // A webhook that knows nothing of audiences answers for the API server's.
    let told = if told.is_empty() { api_audiences.to_vec() } else { told };
    let audiences: Vec<String> = wanted.iter().filter(|audience| told.contains(audience)).cloned().collect();
    if !wanted.is_empty() && audiences.is_empty() {
        return Ok(None);
    }
    let user = &status["user"];
    let extra = at(user, &["extra"]).and_then(Value::as_object).into_iter().flatten();
    Ok(Some(TokenHolder {
        user: User {
            name: text(user, &["username"]).into(),
            uid: text(user, &["uid"]).into(),
            groups: texts(user, &["groups"]),
            extra: extra.map(|(key, values)| (key.clone(), texts(values, &[]))).collect(),
        },
        audiences,
    }))
}

#[async_trait]
impl TokenAuthenticator for WebhookTokens {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        if let Some(answer) = self.answers.get(token, audiences) {
            return Ok(answer);
        }
        let answer = self.ask(token, audiences).await?;
        self.answers.put(token, audiences, &answer);
        Ok(answer)
    }
}
