//! Bearer tokens: authenticators of tokens, asked in order, behind one link of the chain.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::service_account::{ServiceAccountTokens, TokenHolder, bearer_token};
use crate::ttl_cache::TtlCache;
use crate::types::{AuthenticationError, Authenticator, Credentials, User};

/// Knows whose a token is.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync {
    /// `Ok(None)`: not a token of mine. Without `audiences`, it must be for the API server.
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError>;
}

#[async_trait]
impl TokenAuthenticator for ServiceAccountTokens {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        Self::check(self, token, audiences, Timestamp::now()).await
    }
}

/// Asks its links in order. What one finds bad, another may still know.
pub struct TokenUnion {
    links: Vec<Arc<dyn TokenAuthenticator>>,
}

impl TokenUnion {
    pub fn new(links: Vec<Arc<dyn TokenAuthenticator>>) -> Self {
        Self { links }
    }
}

#[async_trait]
impl TokenAuthenticator for TokenUnion {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let mut errors = Vec::new();
        for link in &self.links {
            match link.check(token, audiences).await {
                Ok(Some(holder)) => return Ok(Some(holder)),
                Ok(None) => {}
                Err(error) => errors.push(error.0),
            }
        }
        if errors.is_empty() {
            return Ok(None);
        }
        Err(AuthenticationError(crate::authorization::aggregated(&errors)))
    }
}

/// The tokens of a request's `Authorization` header, or of a WebSocket's protocols.
pub struct BearerTokens {
    tokens: Arc<dyn TokenAuthenticator>,
}

impl BearerTokens {
    pub fn new(tokens: Arc<dyn TokenAuthenticator>) -> Self {
        Self { tokens }
    }
}

#[async_trait]
impl Authenticator for BearerTokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        let Some(token) = bearer_token(credentials.headers) else { return Ok(None) };
        Ok(self.tokens.check(&token, &[]).await?.map(|holder| holder.user))
    }
}

/// Tokens that tell nothing of audiences are for the API server's.
#[derive(Debug, Clone, Default)]
pub(super) struct ApiAudiences(pub(super) Vec<String>);

impl ApiAudiences {
    /// Those of the wanted audiences that such a token is for; none where it is for none of them.
    pub(super) fn among(&self, wanted: &[String]) -> Option<Vec<String>> {
        if wanted.is_empty() || self.0.is_empty() {
            return Some(self.0.clone());
        }
        let common: Vec<String> =
            wanted.iter().filter(|audience| self.0.contains(audience)).cloned().collect();
        (!common.is_empty()).then_some(common)
    }
}

type Key = ([u8; 32], Vec<String>);

/// Answers about tokens, kept for a while; by digest, so that no usable credential is kept.
pub(super) struct AnswerCache {
    known: TtlCache<Key, Option<TokenHolder>>,
    /// For how long it is believed that a token is good, and that it is not known.
    ttl: Duration,
    ttl_unknown: Duration,
}

/// As upstream's: 32 stripes of 128 tokens.
const CAPACITY: usize = 4096;

impl AnswerCache {
    pub(super) fn new(ttl: Duration, ttl_unknown: Duration) -> Self {
        Self { known: TtlCache::new(CAPACITY), ttl, ttl_unknown }
    }

    fn key(token: &str, audiences: &[String]) -> Key {
        (Sha256::digest(token).into(), audiences.to_vec())
    }

    pub(super) fn get(&self, token: &str, audiences: &[String]) -> Option<Option<TokenHolder>> {
        self.known.get(&Self::key(token, audiences))
    }

    pub(super) fn put(&self, token: &str, audiences: &[String], answer: &Option<TokenHolder>) {
        let ttl = if answer.is_some() { self.ttl } else { self.ttl_unknown };
        self.known.put(Self::key(token, audiences), answer.clone(), ttl);
    }
}
