//! Who asks: a chain of authenticators, each with its own kind of credentials. It gives a user or 401; it does not know
//! what the user may do.

mod bootstrap_tokens;
mod cache;
mod client_certificates;
mod config;
mod curve;
mod der;
pub(crate) mod jwt;
mod keys;
mod oidc;
mod reload;
mod request_header;
mod service_account;
mod token_file;
mod tokens;
mod webhook;
mod x509;

use std::sync::Arc;

use oarlock_api::Status;
use tracing::debug;

pub use bootstrap_tokens::BootstrapTokens;
pub use client_certificates::ClientCertificates;
pub use config::{Anonymous, Authentication, AuthenticationConfig, AuthenticationParts, TokenWebhook};
pub use keys::{KeyError, SigningKey, VerifyingKey, jwks, openid_configuration};
pub use oidc::{JwtIssuer, OidcFlags, OidcTokens};
pub use reload::ReloadableAuthentication;
pub use request_header::{RequestHeaderConfig, RequestHeaders};
pub use service_account::{LegacyTokenUse, ServiceAccountTokens, TokenHolder};
pub use token_file::StaticTokens;
pub use tokens::{BearerTokens, TokenAuthenticator, TokenUnion};
pub use webhook::WebhookTokens;
pub use x509::user_of;

use crate::metrics::AccessMetrics;
use crate::names::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::types::{Authenticator, Credentials, User};

/// What answers without credentials (design.md: health and version discovery, nothing else).
const ANONYMOUS_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// Asks its links in order; the first that knows the credentials decides, unless it finds them bad: then the others may
/// still know the client by other credentials.
pub struct AuthenticationChain {
    links: Vec<Arc<dyn Authenticator>>,
    anonymous: Anonymous,
    metrics: Option<AccessMetrics>,
}

impl AuthenticationChain {
    pub fn new(links: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { links, anonymous: Anonymous::Health, metrics: None }
    }

    /// With who may ask without credentials, and counting.
    pub(crate) fn with(
        links: Vec<Arc<dyn Authenticator>>,
        anonymous: Anonymous,
        metrics: AccessMetrics,
    ) -> Self {
        Self { links, anonymous, metrics: Some(metrics) }
    }

    /// The user of a request, or the 401 to answer. Every user but the anonymous is in `system:authenticated`.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Arc<User>, Status> {
        let mut errors = false;
        for link in &self.links {
            match link.authenticate(credentials).await {
                Ok(Some(user)) => {
                    self.count("success");
                    return Ok(Arc::new(with_group(user)));
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "credentials refused");
                    errors = true;
                }
            }
        }
        let bad = errors || service_account::bearer_token(credentials.headers).is_some();
        if !bad && self.anonymous.may_ask(credentials.path) {
            self.count("success");
            return Ok(Arc::new(anonymous()));
        }
        self.count(if errors { "error" } else { "failure" });
        Err(Status::unauthorized())
    }

    fn count(&self, result: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.authenticated(result);
        }
    }
}

/// Compared in a time that tells nothing of where they differ.
fn same_secret(known: &str, given: &str) -> bool {
    use sha2::{Digest as _, Sha256};
    !known.is_empty() && Sha256::digest(known) == Sha256::digest(given)
}

impl Anonymous {
    fn may_ask(&self, path: &str) -> bool {
        match self {
            Self::Health => is_health(path),
            Self::Never => false,
            Self::Everywhere => true,
            Self::Paths(paths) => paths.iter().any(|allowed| allowed == path),
        }
    }
}

fn with_group(mut user: User) -> User {
    let known = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.name != ANONYMOUS && !user.groups.iter().any(known) {
        user.groups.push(AUTHENTICATED.into());
    }
    user
}

fn anonymous() -> User {
    User { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..User::default() }
}

fn is_health(path: &str) -> bool {
    ANONYMOUS_PATHS.contains(&path)
        || ["/healthz/", "/livez/", "/readyz/"].iter().any(|health| path.starts_with(health))
}

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
