//! Users from service-account tokens: signature, time, audience, and whether what a token is bound to still lives.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jiff::Timestamp;
use oarlock_api::GroupResource;
use serde_json::Value;

use super::cache::{Verified, VerifiedTokens};
use super::jwt::{self, Claims, Ref};
use super::keys::VerifyingKey;
use crate::names::{
    AUTHENTICATED, EXTRA_CREDENTIAL_ID, EXTRA_NODE_NAME, EXTRA_NODE_UID, EXTRA_POD_NAME, EXTRA_POD_UID,
    service_account_groups, service_account_user,
};
use crate::resources::{NODES, PODS, SECRETS, SERVICE_ACCOUNTS};
use crate::types::{AuthenticationError, Authenticator, Credentials, Objects, User};
use crate::value::{text, uid};

/// How far clocks may be apart, and how long a deleted pod's token still works. (go-jose's default leeway)
const LEEWAY_SECONDS: i64 = 60;
/// Who issued the tokens that stand in secrets. They are for the API server, and never expire.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
const LEGACY_LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const LEGACY_INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const WEBSOCKET_TOKEN_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// A token's holder, and for which of the asked audiences it speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenHolder {
    pub user: User,
    pub audiences: Vec<String>,
}

/// Hears of the use of tokens that stand in secrets.
pub trait LegacyTokenUse: Send + Sync {
    /// The secret's token is used today (`2026-01-31`), and its label `kubernetes.io/legacy-token-last-used` does not say
    /// so. Must not wait; may be told again until the label does.
    fn used(&self, namespace: &str, secret: &str, day: &str);
}

/// Verifies bearer tokens that this cluster (or one of its further issuers) has signed for service accounts.
pub struct ServiceAccountTokens {
    issuers: Vec<String>,
    audiences: Vec<String>,
    keys: Vec<VerifyingKey>,
    objects: Arc<dyn Objects>,
    verified: VerifiedTokens,
    legacy: Option<Arc<dyn LegacyTokenUse>>,
    lookup: bool,
}

impl ServiceAccountTokens {
    /// `audiences` are the API server's own: what a token must be for to be used here.
    pub fn new(
        issuers: Vec<String>,
        audiences: Vec<String>,
        keys: Vec<VerifyingKey>,
        objects: Arc<dyn Objects>,
    ) -> Self {
        Self {
            issuers,
            audiences,
            keys,
            objects,
            verified: VerifiedTokens::default(),
            legacy: None,
            lookup: true,
        }
    }

    /// Tells of the use of tokens that stand in secrets.
    #[must_use]
    pub fn telling(mut self, legacy: Arc<dyn LegacyTokenUse>) -> Self {
        self.legacy = Some(legacy);
        self
    }

    /// `--service-account-lookup`: whether account, secret, pod and node of a token must be there. Without it a token that has
    /// been taken back works until it expires.
    #[must_use]
    pub fn looking(self, lookup: bool) -> Self {
        Self { lookup, ..self }
    }

    /// Who holds the token. `Ok(None)`: not a token of ours. Without `audiences`, it must be for the API server.
    pub async fn check(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let Some(verified) = self.signed(token, now)? else { return Ok(None) };
        let claims = &verified.claims;
        if claims.iss == LEGACY_ISSUER {
            return self.check_legacy(token, claims, audiences, now).await;
        }
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let audiences: Vec<String> = wanted.iter().filter(|a| claims.aud.contains(a)).cloned().collect();
        if audiences.is_empty() {
            return Err(AuthenticationError(format!(
                "token audiences {} is invalid for the target audiences {}",
                crate::value::quoted(&claims.aud),
                crate::value::quoted(wanted)
            )));
        }
        check_time(claims, now)?;
        if self.lookup {
            self.check_account(claims, now).await?;
        }
        if self.lookup && !verified.bound_was_seen(now.as_second()) {
            self.check_bound_objects(claims, now).await?;
            verified.saw_bound(now.as_second());
        }
        Ok(Some(TokenHolder { user: user_of(claims), audiences }))
    }

    fn signed(&self, token: &str, now: Timestamp) -> Result<Option<Arc<Verified>>, AuthenticationError> {
        if let Some(verified) = self.verified.get(token) {
            return Ok(Some(verified));
        }
        let Some(claims) = jwt::unverified(token).filter(|claims| self.is_ours(claims)) else {
            return Ok(None);
        };
        if !jwt::signed_by_one_of(&self.keys, token) {
            return Err(AuthenticationError("no keys found that match the signature of the token".into()));
        }
        let verified = Arc::new(Verified::new(claims));
        self.verified.put(token, verified.clone(), now.as_second());
        Ok(Some(verified))
    }

    fn is_ours(&self, claims: &Claims) -> bool {
        claims.iss == LEGACY_ISSUER || self.issuers.contains(&claims.iss)
    }

    /// A token that stands in a secret holds as long as the secret does, and still has it.
    async fn check_legacy(
        &self,
        token: &str,
        claims: &Claims,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let audiences: Vec<String> = wanted.iter().filter(|a| self.audiences.contains(a)).cloned().collect();
        if audiences.is_empty() {
            return Err(AuthenticationError(format!(
                "token audiences {} is invalid for the target audiences {}",
                crate::value::quoted(&self.audiences),
                crate::value::quoted(wanted)
            )));
        }
        let legacy = &claims.legacy;
        if !self.lookup {
            return Ok(Some(TokenHolder { user: legacy_user(claims), audiences }));
        }
        let secret = self.legacy_secret(token, claims, now).await?;
        let account = Ref { name: legacy.account.clone(), uid: legacy.uid.clone() };
        self.check_account_of(&legacy.namespace, &account, &claims.sub, now).await?;
        if !text(&secret, &["metadata", "labels", LEGACY_INVALID_SINCE]).is_empty() {
            return Err(AuthenticationError(format!(
                "the token in secret {0}/{1} for service account {0}/{2} has been marked invalid. Use tokens from the \
                 TokenRequest API or manually created secret-based tokens, or remove the '{LEGACY_INVALID_SINCE}' label \
                 from the secret to temporarily allow use of this token",
                legacy.namespace, legacy.secret, legacy.account
            )));
        }
        let today = now.strftime("%Y-%m-%d").to_string();
        if let Some(told) = &self.legacy
            && text(&secret, &["metadata", "labels", LEGACY_LAST_USED]) != today
        {
            told.used(&legacy.namespace, &legacy.secret, &today);
        }
        Ok(Some(TokenHolder { user: legacy_user(claims), audiences }))
    }

    async fn legacy_secret(
        &self,
        token: &str,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Arc<Value>, AuthenticationError> {
        let legacy = &claims.legacy;
        let name = &legacy.secret;
        let gone = || AuthenticationError("Token has been invalidated".into());
        let has = |secret: &Value| {
            let data = STANDARD.decode(text(secret, &["data", "token"])).unwrap_or_default();
            super::same_secret(&String::from_utf8_lossy(&data), token)
        };
        let cached = self.objects.get(&SECRETS, &legacy.namespace, name).filter(|secret| has(secret));
        let secret = match cached {
            Some(secret) => secret,
            None => {
                let fresh = self.objects.get_fresh(&SECRETS, &legacy.namespace, name).await;
                fresh.map_err(|status| AuthenticationError(status.message))?.ok_or_else(gone)?
            }
        };
        if is_gone(&secret, now) {
            return Err(gone());
        }
        if !has(&secret) {
            return Err(AuthenticationError("Token does not match server's copy".into()));
        }
        Ok(secret)
    }

    async fn check_account(&self, claims: &Claims, now: Timestamp) -> Result<(), AuthenticationError> {
        let (namespace, account) = (&claims.kubernetes.namespace, &claims.kubernetes.serviceaccount);
        self.check_account_of(namespace, account, &claims.sub, now).await
    }

    async fn check_account_of(
        &self,
        namespace: &str,
        account: &Ref,
        subject: &str,
        now: Timestamp,
    ) -> Result<(), AuthenticationError> {
        if subject != service_account_user(namespace, &account.name) {
            return Err(AuthenticationError(
                "sub claim does not match the service account of the token".into(),
            ));
        }
        let found = self.find(&SERVICE_ACCOUNTS, namespace, account).await?;
        let Some(found) = found else {
            return Err(AuthenticationError(format!("serviceaccounts {:?} not found", account.name)));
        };
        if is_gone(&found, now) {
            return Err(AuthenticationError(format!(
                "service account {namespace}/{} has been deleted",
                account.name
            )));
        }
        if uid(&found) != account.uid {
            return Err(AuthenticationError(format!(
                "service account UID ({}) does not match claim ({})",
                uid(&found),
                account.uid
            )));
        }
        Ok(())
    }

    async fn check_bound_objects(&self, claims: &Claims, now: Timestamp) -> Result<(), AuthenticationError> {
        let private = &claims.kubernetes;
        let namespace = &private.namespace;
        if let Some(secret) = &private.secret {
            self.check_bound(&SECRETS, "secret", namespace, secret, now).await?;
        }
        if let Some(pod) = &private.pod {
            self.check_bound(&PODS, "pod", namespace, pod, now).await?;
        }
        // A pod's token names the node for information; only a token bound to the node itself dies with it.
        if let (Some(node), None) = (&private.node, &private.pod) {
            self.check_bound(&NODES, "node", "", node, now).await?;
        }
        Ok(())
    }

    async fn check_bound(
        &self,
        resource: &GroupResource,
        what: &str,
        namespace: &str,
        bound: &Ref,
        now: Timestamp,
    ) -> Result<(), AuthenticationError> {
        match self.find(resource, namespace, bound).await? {
            Some(found) if !is_gone(&found, now) && uid(&found) == bound.uid => Ok(()),
            Some(found) if !is_gone(&found, now) => Err(AuthenticationError(format!(
                "{what} UID ({}) does not match service account {what} ref claim ({})",
                uid(&found),
                bound.uid
            ))),
            _ => Err(AuthenticationError("service account token has been invalidated".into())),
        }
    }

    /// From the cache; where that does not know this very object (it may be younger than the cache), asked freshly.
    async fn find(
        &self,
        resource: &GroupResource,
        namespace: &str,
        wanted: &Ref,
    ) -> Result<Option<Arc<Value>>, AuthenticationError> {
        match self.objects.get(resource, namespace, &wanted.name) {
            Some(found) if uid(&found) == wanted.uid => Ok(Some(found)),
            _ => self
                .objects
                .get_fresh(resource, namespace, &wanted.name)
                .await
                .map_err(|status| AuthenticationError(status.message)),
        }
    }
}

#[async_trait]
impl Authenticator for ServiceAccountTokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        let Some(token) = bearer_token(credentials.headers) else { return Ok(None) };
        Ok(self.check(&token, &[], Timestamp::now()).await?.map(|holder| holder.user))
    }
}

/// The bearer token of a request: from `Authorization`, or as browsers send it with a WebSocket.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<String> {
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let (scheme, token) = authorization.to_str().ok()?.trim().split_once(' ')?;
        let token = token.trim();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_string());
    }
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let encoded = protocols
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(WEBSOCKET_TOKEN_PREFIX))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok().filter(|token| !token.is_empty())
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), AuthenticationError> {
    let now = now.as_second();
    if claims.exp != 0 && now - LEEWAY_SECONDS > claims.exp {
        return Err(AuthenticationError("service account token has expired".into()));
    }
    let starts = claims.nbf.max(claims.iat);
    if starts != 0 && now + LEEWAY_SECONDS < starts {
        return Err(AuthenticationError("service account token is not valid yet".into()));
    }
    Ok(())
}

/// Marked as deleted longer ago than the leeway.
fn is_gone(object: &Value, now: Timestamp) -> bool {
    text(object, &["metadata", "deletionTimestamp"])
        .parse::<Timestamp>()
        .is_ok_and(|deleted| deleted.as_second() < now.as_second() - LEEWAY_SECONDS)
}

/// The holder of a token that stands in a secret.
fn legacy_user(claims: &Claims) -> User {
    let legacy = &claims.legacy;
    User {
        name: service_account_user(&legacy.namespace, &legacy.account),
        uid: legacy.uid.clone(),
        groups: [&service_account_groups(&legacy.namespace)[..], &[AUTHENTICATED.into()]].concat(),
        ..User::default()
    }
}

fn user_of(claims: &Claims) -> User {
    let private = &claims.kubernetes;
    let mut groups = service_account_groups(&private.namespace).to_vec();
    groups.push(AUTHENTICATED.into());
    let mut user = User {
        name: service_account_user(&private.namespace, &private.serviceaccount.name),
        uid: private.serviceaccount.uid.clone(),
        groups,
        ..User::default()
    };
    let mut extra = |key: &str, value: String| user.extra.insert(key.into(), vec![value]);
    if let Some(pod) = &private.pod {
        extra(EXTRA_POD_NAME, pod.name.clone());
        extra(EXTRA_POD_UID, pod.uid.clone());
    }
    if let Some(node) = &private.node {
        extra(EXTRA_NODE_NAME, node.name.clone());
        if !node.uid.is_empty() {
            extra(EXTRA_NODE_UID, node.uid.clone());
        }
    }
    if !claims.jti.is_empty() {
        extra(EXTRA_CREDENTIAL_ID, format!("JTI={}", claims.jti));
    }
    user
}

#[cfg(test)]
#[path = "service_account_tests.rs"]
mod tests;
