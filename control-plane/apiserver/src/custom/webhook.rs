//! Conversion webhooks, called over the pooled clients.

use std::time::Duration;

use async_trait::async_trait;
use oarlock_apiserver_custom::ConversionWebhook;
use oarlock_apiserver_webhook::{ClientConfig, Clients};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Calls the webhook of a definition.
pub(crate) struct Caller(pub(crate) Clients);

#[async_trait]
impl ConversionWebhook for Caller {
    async fn call(&self, client_config: &Value, review: &Value) -> Result<Value, String> {
        let config = ClientConfig::from_client_config(client_config).map_err(|error| error.to_string())?;
        let client = self.0.client(&config).map_err(|error| error.to_string())?;
        let body = serde_json::to_vec(review).expect("a tree of JSON values always serialises");
        let answer = client.post(body.into(), Some(TIMEOUT)).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }
}
