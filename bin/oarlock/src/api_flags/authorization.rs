//! Who may do what.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use oarlock_apiserver::{AuthorizationConfig, WebhookAuthorizerConfig, from_kubeconfig, parse_duration};

use super::faults::Faults;

#[derive(Args, Debug, Clone)]
pub(crate) struct AuthorizationFlags {
    /// Who authorises, in order: Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_value = "Node,RBAC")]
    pub authorization_mode: Vec<String>,
    /// Who authorises, and how (AuthorizationConfiguration); read again when it changes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["authorization_mode", "authorization_webhook_config_file"])]
    pub authorization_config: Option<PathBuf>,
    /// The policy of ABAC
    #[arg(long, value_name = "FILE")]
    pub authorization_policy_file: Option<PathBuf>,
    /// The webhook of mode Webhook, as a kubeconfig
    #[arg(long, value_name = "FILE")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// The version of SubjectAccessReview that it speaks
    #[arg(long, value_name = "V", default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    pub authorization_webhook_version: String,
    /// How long it is believed that something is allowed
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long it is believed that something is not
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}

impl AuthorizationFlags {
    pub(super) fn read(&self, faults: &mut Faults) -> AuthorizationConfig {
        let policy = self.authorization_policy_file.as_deref();
        let config = AuthorizationConfig {
            modes: self.authorization_mode.clone(),
            policy_file: faults.text("authorization-policy-file", policy),
            webhook: self.webhook(faults),
            file: faults.bytes("authorization-config", self.authorization_config.as_deref()),
        };
        faults.all(config.check());
        config
    }

    fn webhook(&self, faults: &mut Faults) -> Option<WebhookAuthorizerConfig> {
        let path = self.authorization_webhook_config_file.as_ref()?;
        let client = faults.take("authorization-webhook-config-file", from_kubeconfig(path))?;
        Some(WebhookAuthorizerConfig::by_flags(
            client,
            &self.authorization_webhook_version,
            self.authorization_webhook_cache_authorized_ttl,
            self.authorization_webhook_cache_unauthorized_ttl,
        ))
    }
}
