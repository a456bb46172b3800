//! The webhook that converts, over the HTTP client that all webhooks share.

use std::time::Duration;

use async_trait::async_trait;
use oarlock_apiserver_webhook::{ClientConfig, Clients};
use serde_json::Value;

use super::ConversionWebhook;

/// Upstream's: a webhook that takes longer fails the request.
const TIMEOUT: Duration = Duration::from_secs(30);

#[async_trait]
impl ConversionWebhook for Clients {
    async fn call(&self, client_config: &Value, review: &Value) -> Result<Value, String> {
        let config = ClientConfig::from_client_config(client_config).map_err(|error| error.to_string())?;
        let client = self.client(&config).map_err(|error| error.to_string())?;
        let body = serde_json::to_vec(review).expect("writing a value to memory does not fail");
        let answer = client.post(body.into(), Some(TIMEOUT)).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }
}
