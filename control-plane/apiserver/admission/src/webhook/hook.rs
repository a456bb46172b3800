//! One webhook of a configuration, read once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oarlock_apiserver_webhook::{Authentication, Client, ClientConfig, Clients};
use serde_json::Value;

use super::review::ReviewVersion;
use crate::expressions::{Conditions, Scope};
use crate::matching::Criteria;
use crate::value::{items, name, text};

const DEFAULT_TIMEOUT_S: u64 = 10;

pub(super) struct Hook {
    pub(super) name: String,
    pub(super) configuration: String,
    /// Tells it from all others, also from one of the same name.
    pub(super) id: String,
    pub(super) criteria: Criteria,
    pub(super) conditions: Option<Conditions>,
    /// `failurePolicy: Ignore`
    pub(super) fails_open: bool,
    /// None where the configuration does not say (v1 requires it).
    pub(super) dry_run: Option<bool>,
    pub(super) timeout: Duration,
    /// None: it speaks none that we do.
    pub(super) review: Option<ReviewVersion>,
    /// Or why there is none.
    pub(super) client: Result<Arc<Client>, String>,
    /// `reinvocationPolicy: IfNeeded`
    pub(super) if_needed: bool,
}

/// All webhooks of all configurations, in the order in which they are called.
pub(super) fn compile(
    configurations: &[Arc<Value>],
    clients: &Clients,
    authentication: &Authentication,
) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for configuration in configurations {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for hook in items(configuration, &["webhooks"]) {
            let count = seen.entry(text(hook, &["name"])).or_default();
            hooks.push(Hook::of((name(configuration), *count), hook, clients, authentication));
            *count += 1;
        }
    }
    hooks
}

impl Hook {
    fn of(
        (configuration, count): (&str, usize),
        hook: &Value,
        clients: &Clients,
        authentication: &Authentication,
    ) -> Self {
        let name = text(hook, &["name"]).to_string();
        let fails_open = hook["failurePolicy"] == "Ignore";
        let conditions = items(hook, &["matchConditions"]);
        let seconds = hook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_S);
        let client = ClientConfig::from_client_config(&hook["clientConfig"]).map(|mut config| {
            config.credentials = authentication.credentials(&config.target);
            config
        });
        Self {
            id: format!("{configuration}/{name}/{count}"),
            configuration: configuration.to_string(),
            criteria: Criteria::of_webhook(hook),
            conditions: (!conditions.is_empty())
                .then(|| Conditions::compile(conditions, &Scope::webhook(), fails_open)),
            fails_open,
            dry_run: hook["sideEffects"].as_str().map(|class| matches!(class, "None" | "NoneOnDryRun")),
            timeout: Duration::from_secs(seconds),
            review: ReviewVersion::first(items(hook, &["admissionReviewVersions"])),
            client: client.and_then(|config| clients.client(&config)).map_err(|e| e.to_string()),
            if_needed: hook["reinvocationPolicy"] == "IfNeeded",
            name,
        }
    }
}
