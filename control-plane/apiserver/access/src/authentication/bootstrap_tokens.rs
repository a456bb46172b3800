//! Bootstrap tokens: the secrets of `kube-system` by which nodes join. (`id.secret`)

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::tokens::{ApiAudiences, TokenAuthenticator};
use super::{TokenHolder, same_secret};
use crate::resources::SECRETS;
use crate::types::{AuthenticationError, Objects, User};
use crate::value::text;

const NAMESPACE: &str = "kube-system";
const KIND: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

pub struct BootstrapTokens {
    objects: Arc<dyn Objects>,
    audiences: ApiAudiences,
}

impl BootstrapTokens {
    pub fn new(objects: Arc<dyn Objects>, api_audiences: Vec<String>) -> Self {
        Self { objects, audiences: ApiAudiences(api_audiences) }
    }
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`, in its parts.
fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

fn data(secret: &Value, key: &str) -> String {
    let decoded = STANDARD.decode(text(secret, &["data", key])).unwrap_or_default();
    String::from_utf8(decoded).unwrap_or_default()
}

/// Who the token is, if the secret says that it may be used so now.
fn user_of(
    secret: &Value,
    id: &str,
    given: &str,
    now: Timestamp,
) -> Result<Option<User>, AuthenticationError> {
    let alive = text(secret, &["metadata", "deletionTimestamp"]).is_empty();
    let own = text(secret, &["type"]) == KIND && data(secret, "token-id") == id;
    if !alive || !own || !same_secret(&data(secret, "token-secret"), given) {
        return Ok(None);
    }
    let expiration = data(secret, "expiration");
    let expired = !expiration.is_empty()
        && expiration.parse::<Timestamp>().map_or(true, |expiration| now >= expiration);
    if expired || data(secret, "usage-bootstrap-authentication") != "true" {
        return Ok(None);
    }
    let mut groups = vec![GROUP.to_string()];
    let extra = data(secret, "auth-extra-groups");
    for group in extra.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        if !is_bootstrap_group(group) {
            return Err(AuthenticationError(format!(
                "bootstrap group {group:?} is invalid (must match \\Asystem:bootstrappers:[a-z0-9:-]{{0,255}}[a-z0-9]\\z)"
            )));
        }
        groups.push(group.to_string());
    }
    Ok(Some(User { name: format!("system:bootstrap:{id}"), groups, ..User::default() }))
}

fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = rest.bytes().all(|b| plain(b) || b == b':' || b == b'-');
    fits && rest.len() <= 256 && rest.bytes().last().is_some_and(plain)
}

#[async_trait]
impl TokenAuthenticator for BootstrapTokens {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let Some((id, given)) = split(token) else { return Ok(None) };
        let Some(audiences) = self.audiences.among(audiences) else { return Ok(None) };
        let name = format!("bootstrap-token-{id}");
        let Some(secret) = self.objects.get(&SECRETS, NAMESPACE, &name) else { return Ok(None) };
        let user = user_of(&secret, id, given, Timestamp::now())?;
        Ok(user.map(|user| TokenHolder { user, audiences }))
    }
}
