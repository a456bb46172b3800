//! Authentication whose configuration file may change while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use oarlock_api::Status;
use parking_lot::Mutex;

use super::{
    Authentication, AuthenticationConfig, AuthenticationParts, RequestHeaderConfig, TokenAuthenticator,
    TokenHolder,
};
use crate::types::{AuthenticationError, Credentials, User};

/// Knows what the newest valid configuration says.
pub struct ReloadableAuthentication {
    current: ArcSwap<Authentication>,
    config: Mutex<AuthenticationConfig>,
    parts: AuthenticationParts,
}

impl ReloadableAuthentication {
    pub fn new(config: AuthenticationConfig, parts: AuthenticationParts) -> Result<Self, Vec<String>> {
        let first = config.build(parts.clone())?;
        Ok(Self { current: ArcSwap::from_pointee(first), config: Mutex::new(config), parts })
    }

    /// The user of a request, or the 401 to answer.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Arc<User>, Status> {
        let current = self.current.load_full();
        current.chain.authenticate(credentials).await
    }

    /// Takes the new contents of the file; whether they are new. With a fault, what held goes on to hold.
    pub fn reload(&self, file: Vec<u8>) -> Result<bool, Vec<String>> {
        self.change(|config| config.file = Some(file))
    }

    /// Believes other authorities of clients and of front proxies from now on; the same.
    pub fn believe(
        &self,
        client_ca_pem: Option<String>,
        request_header: Option<RequestHeaderConfig>,
    ) -> Result<bool, Vec<String>> {
        self.change(|config| {
            config.client_ca_pem = client_ca_pem;
            config.request_header = request_header;
        })
    }

    fn change(&self, change: impl FnOnce(&mut AuthenticationConfig)) -> Result<bool, Vec<String>> {
        let mut config = self.config.lock();
        let mut newer = config.clone();
        change(&mut newer);
        let same = newer.file == config.file
            && newer.client_ca_pem == config.client_ca_pem
            && newer.request_header == config.request_header;
        if same {
            return Ok(false);
        }
        let authentication = newer.build(self.parts.clone())?;
        self.current.store(Arc::new(authentication));
        *config = newer;
        Ok(true)
    }
}

#[async_trait]
impl TokenAuthenticator for ReloadableAuthentication {
    async fn check(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenHolder>, AuthenticationError> {
        let current = self.current.load_full();
        current.tokens.check(token, audiences).await
    }
}
