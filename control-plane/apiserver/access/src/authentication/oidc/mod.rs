//! Tokens of OpenID Connect issuers.
//!
//! An issuer's keys are fetched when its first token comes, and again when a token is signed by a key that is not among
//! them; never more often than every ten seconds, whatever tokens strangers send.

mod claims;
mod config;
mod jose;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oarlock_apiserver_webhook::{ClientConfig, Clients, Target};
use parking_lot::RwLock;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use config::issuers;
pub use config::{JwtIssuer, OidcFlags};
use jose::{KeySet, Verdict};

use super::TokenHolder;
use super::tokens::{AnswerCache, ApiAudiences, TokenAuthenticator};
use crate::types::AuthenticationError;
use crate::value::text;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// For how long a token that was good is good. (upstream's token cache)
const ANSWER_TTL: Duration = Duration::from_secs(10);

/// Verifies the tokens of one issuer.
pub struct OidcTokens {
    issuer: JwtIssuer,
    clients: Clients,
    audiences: ApiAudiences,
    keys: RwLock<Option<Arc<KeySet>>>,
    fetched: Mutex<Option<Instant>>,
    answers: AnswerCache,
}

impl OidcTokens {
    pub fn new(issuer: JwtIssuer, clients: Clients, api_audiences: Vec<String>) -> Self {
        Self {
            issuer,
            clients,
            audiences: ApiAudiences(api_audiences),
            keys: RwLock::default(),
            fetched: Mutex::default(),
            answers: AnswerCache::new(ANSWER_TTL, Duration::ZERO),
        }
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        let config = ClientConfig {
            ca_pem: self.issuer.certificate_authority.clone(),
            ..ClientConfig::new(Target::Url(url.to_string()))
        };
        let client = self.clients.client(&config).map_err(|error| error.to_string())?;
        let body = client.get(FETCH_TIMEOUT).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let at = &self.issuer;
        let discovery = match at.discovery_url.as_str() {
            "" => format!("{}/.well-known/openid-configuration", at.url.trim_end_matches('/')),
            url => url.to_string(),
        };
        let document = self.get(&discovery).await?;
        let told = text(&document, &["issuer"]);
        if told != at.url {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {told:?}",
                at.url
            ));
        }
        let keys = text(&document, &["jwks_uri"]);
        if !keys.starts_with("https://") {
            return Err(format!("oidc: jwks_uri {keys:?} is not an https URL"));
        }
        Ok(KeySet::read(&self.get(keys).await?))
    }

    /// Keys newer than `seen`, if they may be asked for yet. One asks at a time; who waits finds what that one found.
    async fn newer(&self, seen: Option<&Arc<KeySet>>) -> Result<Option<Arc<KeySet>>, String> {
        let mut fetched = self.fetched.lock().await;
        let current = self.keys.read().clone();
        let changed = match (&current, seen) {
            (Some(current), Some(seen)) => !Arc::ptr_eq(current, seen),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if changed {
            return Ok(current);
        }
        if fetched.is_some_and(|at| at.elapsed() < FETCH_INTERVAL_MIN) {
            return Ok(None);
        }
        *fetched = Some(Instant::now());
        let keys = Arc::new(self.fetch().await?);
        *self.keys.write() = Some(keys.clone());
        Ok(Some(keys))
    }

    async fn verify(&self, token: &str) -> Result<(), String> {
        let allowed = &self.issuer.signing_algorithms;
        let seen = self.keys.read().clone();
        let verdict = seen.as_ref().map_or(Verdict::NoKey, |keys| keys.verify(token, allowed));
        let verdict = match verdict {
            Verdict::NoKey => match self.newer(seen.as_ref()).await? {
                Some(newer) => newer.verify(token, allowed),
                None if seen.is_none() => {
                    return Err(format!(
                        "oidc: authenticator for issuer {:?} is not initialized",
                        self.issuer.url
                    ));
                }
                None => Verdict::NoKey,
            },
            decided => decided,
        };
        if verdict == Verdict::Good {
            return Ok(());
        }
        Err("oidc: verify token: failed to verify signature: failed to verify id token signature".into())
    }

    async fn holder(
        &self,
        token: &str,
        claims: &Map<String, Value>,
        audiences: Vec<String>,
    ) -> Result<TokenHolder, String> {
        self.verify(token).await?;
        claims::check_standard(claims, &self.issuer.audiences, Timestamp::now().as_second())?;
        Ok(TokenHolder { user: claims::user_of(&self.issuer, claims)?, audiences })
    }
}

/// The claims of a JWT, believed by nobody yet.
fn unverified(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, body, _, none) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    if none.is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

#[async_trait]
impl TokenAuthenticator for OidcTokens {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let Some(for_audiences) = self.audiences.among(audiences) else { return Ok(None) };
        let own = |claims: &Map<String, Value>| claims.get("iss").is_some_and(|iss| *iss == *self.issuer.url);
        let Some(claims) = unverified(token).filter(own) else { return Ok(None) };
        if let Some(answer) = self.answers.get(token, audiences) {
            return Ok(answer);
        }
        let holder = self.holder(token, &claims, for_audiences).await.map_err(AuthenticationError)?;
        let answer = Some(holder);
        self.answers.put(token, audiences, &answer);
        Ok(answer)
    }
}

/// Whether a key set verifies a token.
#[cfg(test)]
pub(super) fn verified_by(keys: &Value, token: &str) -> bool {
    KeySet::read(keys).verify(token, &["ES256".into(), "RS256".into()]) == Verdict::Good
}

#[cfg(test)]
mod tests;
