//! Whether somebody else allows it: SubjectAccessReview by webhook, its answers kept for a while.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oarlock_apiserver_webhook::{Client, ClientConfig, RETRY_BACKOFF, post_with_retries};
use serde_json::{Value, json};
use tracing::warn;

use super::review_spec::spec_of;
use crate::expressions::{Expression, Over};
use crate::ttl_cache::TtlCache;
use crate::types::{Attributes, Authorizer, Decision, Rules, User};
use crate::value::text;

const CAPACITY: usize = 8192;
/// What is longer is not kept: it was made to fill the cache. (upstream's `maxControllerMetadataSize`)
const KEY_BYTES_MAX: usize = 10_000;

/// A webhook that authorises. Plain data.
#[derive(Debug, Clone)]
pub struct WebhookAuthorizerConfig {
    pub name: String,
    pub client: ClientConfig,
    /// Of SubjectAccessReview: `v1` or `v1beta1`.
    pub version: String,
    /// How long an answer is believed; zero: not at all.
    pub authorized_ttl: Duration,
    pub unauthorized_ttl: Duration,
    pub timeout: Duration,
    /// Where the webhook fails: refuse, or ask the next.
    pub deny_on_failure: bool,
    pub(crate) conditions: Vec<Expression>,
}

impl WebhookAuthorizerConfig {
    /// By the flags `--authorization-webhook-*`, whose webhook has no opinion where it fails.
    pub fn by_flags(
        client: ClientConfig,
        version: &str,
        authorized: Duration,
        unauthorized: Duration,
    ) -> Self {
        Self {
            name: "default".into(),
            client,
            version: version.into(),
            authorized_ttl: authorized,
            unauthorized_ttl: unauthorized,
            timeout: Duration::from_secs(30),
            deny_on_failure: false,
            conditions: Vec::new(),
        }
    }
}

pub struct WebhookAuthorizer {
    config: WebhookAuthorizerConfig,
    client: Arc<Client>,
    answers: TtlCache<String, Decision>,
}

impl WebhookAuthorizer {
    pub fn new(config: WebhookAuthorizerConfig, client: Arc<Client>) -> Self {
        Self { config, client, answers: TtlCache::new(CAPACITY) }
    }

    /// Whether the webhook is to be asked; a condition that cannot be evaluated is a failure, unless another one says no.
    fn matches(&self, spec: &Value) -> Result<bool, String> {
        let mut error = None;
        for condition in &self.config.conditions {
            match condition.evaluate(Over::Request, spec) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(why) => error = Some(why),
            }
        }
        error.map_or(Ok(true), Err)
    }

    async fn ask(&self, spec: &Value) -> Result<Decision, String> {
        let review = json!({
            "apiVersion": format!("authorization.k8s.io/{}", self.config.version),
            "kind": "SubjectAccessReview",
            "spec": if self.config.version == "v1" { spec.clone() } else { as_beta(spec) },
        });
        let body = review.to_string().into_bytes().into();
        let answered = post_with_retries(&self.client, body, Some(self.config.timeout), RETRY_BACKOFF).await;
        let answered = answered.map_err(|error| error.to_string())?;
        let review: Value = serde_json::from_slice(&answered).map_err(|error| error.to_string())?;
        let status = &review["status"];
        let reason = text(status, &["reason"]).to_string();
        match (status["allowed"] == true, status["denied"] == true) {
            (true, true) => Err("webhook subject access review returned both allow and deny response".into()),
            (false, true) => Ok(Decision::Deny(reason)),
            (true, false) => Ok(Decision::Allow(reason)),
            (false, false) => Ok(Decision::NoOpinion(reason)),
        }
    }

    fn failed(&self, why: &str) -> Decision {
        warn!(webhook = self.config.name, why, "a webhook authoriser failed");
        if self.config.deny_on_failure {
            Decision::Deny(why.to_string())
        } else {
            Decision::NoOpinion(why.to_string())
        }
    }
}

/// In v1beta1 groups have another name.
fn as_beta(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(groups) = spec.as_object_mut().and_then(|spec| spec.remove("groups")) {
        spec["group"] = groups;
    }
    spec
}

#[async_trait]
impl Authorizer for WebhookAuthorizer {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let spec = spec_of(attributes);
        match self.matches(&spec) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(String::new()),
            Err(why) => return self.failed(&why),
        }
        let key = spec.to_string();
        if let Some(decision) = self.answers.get(&key) {
            return decision;
        }
        match self.ask(&spec).await {
            Err(why) => self.failed(&why),
            Ok(decision) => {
                let allowed = matches!(decision, Decision::Allow(_));
                let ttl = if allowed { self.config.authorized_ttl } else { self.config.unauthorized_ttl };
                if key.len() <= KEY_BYTES_MAX {
                    self.answers.put(key, decision.clone(), ttl);
                }
                decision
            }
        }
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules {
            incomplete: true,
            evaluation_error: "webhook authorizer does not support user rule resolution".into(),
            ..Rules::default()
        }
    }
}
