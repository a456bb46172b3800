//! Authorisation whose configuration file may change while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;

use super::{AuthorizationConfig, AuthorizationParts};
use crate::types::{Attributes, Authorizer, Decision, Rules, User};

/// Decides as the newest valid configuration says.
pub struct ReloadableAuthorization {
    current: ArcSwap<Arc<dyn Authorizer>>,
    config: Mutex<AuthorizationConfig>,
    parts: AuthorizationParts,
}

impl ReloadableAuthorization {
    pub fn new(config: AuthorizationConfig, parts: AuthorizationParts) -> Result<Self, Vec<String>> {
        let first = config.build(&parts)?;
        Ok(Self { current: ArcSwap::from_pointee(first), config: Mutex::new(config), parts })
    }

    /// Takes the new contents of the file; whether they are new. With a fault, what held goes on to hold.
    pub fn reload(&self, file: Vec<u8>) -> Result<bool, Vec<String>> {
        let mut config = self.config.lock();
        if config.file.as_ref() == Some(&file) {
            return Ok(false);
        }
        let newer = AuthorizationConfig { file: Some(file), ..config.clone() };
        let authorizer = newer.build(&self.parts)?;
        self.current.store(Arc::new(authorizer));
        *config = newer;
        Ok(true)
    }
}

#[async_trait]
impl Authorizer for ReloadableAuthorization {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let current = self.current.load_full();
        current.authorize(attributes).await
    }

    async fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let current = self.current.load_full();
        current.rules_for(user, namespace).await
    }
}
