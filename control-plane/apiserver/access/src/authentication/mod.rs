//! Who asks: a chain of authenticators, each with its own kind of credentials. It gives a user or 401; it does not know
//! what the user may do.

mod cache;
mod der;
pub(crate) mod jwt;
mod keys;
mod service_account;
mod x509;

use std::sync::Arc;

use oarlock_api::Status;
use tracing::debug;

pub use keys::{KeyError, SigningKey, VerifyingKey, jwks, openid_configuration};
pub use service_account::{ServiceAccountTokens, TokenHolder};
pub use x509::ClientCertificates;

use crate::names::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::types::{Authenticator, Credentials, User};

/// What answers without credentials (design.md: health and version discovery, nothing else).
const ANONYMOUS_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// Asks its links in order; the first that knows the credentials decides, unless it finds them bad: then the others may
/// still know the client by other credentials.
pub struct AuthenticationChain {
    links: Vec<Arc<dyn Authenticator>>,
}

impl AuthenticationChain {
    pub fn new(links: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { links }
    }

    /// The user of a request, or the 401 to answer. Every user but the anonymous is in `system:authenticated`.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Arc<User>, Status> {
        let mut bad = service_account::bearer_token(credentials.headers).is_some();
        for link in &self.links {
            match link.authenticate(credentials).await {
                Ok(Some(user)) => return Ok(Arc::new(with_group(user))),
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "credentials refused");
                    bad = true;
                }
            }
        }
        if !bad && may_be_anonymous(credentials.path) {
            return Ok(Arc::new(anonymous()));
        }
        Err(Status::unauthorized())
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

fn may_be_anonymous(path: &str) -> bool {
    ANONYMOUS_PATHS.contains(&path)
        || ["/healthz/", "/livez/", "/readyz/"].iter().any(|health| path.starts_with(health))
}

#[cfg(test)]
mod tests;
