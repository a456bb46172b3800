//! Who is asked, in which order: `--authorization-mode` or an `AuthorizationConfiguration`, checked as a whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oarlock_api::codec::yaml;
use oarlock_apiserver_webhook::{Clients, from_kubeconfig};
use serde_json::Value;

use super::{
    Abac, AlwaysAllow, AlwaysDeny, AuthorizationChain, NodeAuthorizer, Rbac, Superusers, WebhookAuthorizer,
    WebhookAuthorizerConfig,
};
use crate::admission::config::ConfigFaults;
use crate::expressions::{Expression, Over, Want};
use crate::types::Authorizer;
use crate::value::{at, items, text};

const MODES: [&str; 6] = ["AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node"];
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const CONDITIONS_MAX: usize = 64;

/// Plain data; the binary fills it from flags and files.
#[derive(Debug, Clone)]
pub struct AuthorizationConfig {
    /// `--authorization-mode`, in order.
    pub modes: Vec<String>,
    /// The contents of `--authorization-policy-file`, of ABAC.
    pub policy_file: Option<String>,
    /// `--authorization-webhook-*`
    pub webhook: Option<WebhookAuthorizerConfig>,
    /// The contents of `--authorization-config`, and where it is: it names files.
    pub file: Option<Vec<u8>>,
}

impl Default for AuthorizationConfig {
    /// What a cluster is safe with.
    fn default() -> Self {
        let modes = vec!["Node".into(), "RBAC".into()];
        Self { modes, policy_file: None, webhook: None, file: None }
    }
}

/// What authorisation is made from.
#[derive(Clone)]
pub struct AuthorizationParts {
    pub node: Arc<NodeAuthorizer>,
    pub rbac: Arc<Rbac>,
    pub clients: Clients,
}

/// One link, before it is made.
enum Link {
    Mode(&'static str),
    Webhook(Box<WebhookAuthorizerConfig>),
}

impl AuthorizationConfig {
    /// Checks everything; gives all faults.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut faults = ConfigFaults::new();
        let links = self.links(&mut faults);
        let abac = links.iter().any(|link| matches!(link, Link::Mode("ABAC")));
        match (&self.policy_file, abac) {
            (None, true) => faults.add("authorization-mode ABAC's authorization policy file not passed"),
            (Some(_), false) => faults.add("cannot specify --authorization-policy-file without mode ABAC"),
            (Some(file), true) => {
                Abac::parse(file).err().into_iter().flatten().for_each(|fault| faults.add(fault));
            }
            (None, false) => {}
        }
        faults.into_result(())
    }

    /// `system:masters` first, always, then the links in their order.
    pub fn build(&self, parts: &AuthorizationParts) -> Result<Arc<dyn Authorizer>, Vec<String>> {
        self.check()?;
        let mut links: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Superusers)];
        for link in self.links(&mut ConfigFaults::new()) {
            links.push(match link {
                Link::Mode("Node") => parts.node.clone(),
                Link::Mode("RBAC") => parts.rbac.clone(),
                Link::Mode("AlwaysAllow") => Arc::new(AlwaysAllow),
                Link::Mode("ABAC") => Arc::new(Abac::parse(self.policy_file.as_deref().unwrap_or_default())?),
                Link::Mode(_) => Arc::new(AlwaysDeny),
                Link::Webhook(config) => {
                    let client = parts.clients.client(&config.client);
                    let client = client.map_err(|error| vec![format!("webhook {}: {error}", config.name)])?;
                    Arc::new(WebhookAuthorizer::new(*config, client))
                }
            });
        }
        Ok(Arc::new(AuthorizationChain::new(links)))
    }

    fn links(&self, faults: &mut ConfigFaults) -> Vec<Link> {
        let Some(file) = &self.file else { return self.by_flags(faults) };
        faults.enter("authorization-config");
        let links = match yaml::parse(file) {
            Ok(value) => read(&value, faults),
            Err(error) => {
                faults.add(error.to_string());
                Vec::new()
            }
        };
        faults.enter("");
        links
    }

    fn by_flags(&self, faults: &mut ConfigFaults) -> Vec<Link> {
        if self.modes.is_empty() {
            faults.add("at least one authorization-mode must be passed");
        }
        let mut links = Vec::new();
        for (i, mode) in self.modes.iter().enumerate() {
            let Some(known) = MODES.iter().find(|known| *known == mode) else {
                faults.add(format!("authorization-mode {mode:?} is not a valid mode"));
                continue;
            };
            if self.modes[..i].contains(mode) {
                faults.add(format!(
                    "authorization-mode {} has mode specified more than once",
                    crate::value::quoted(&self.modes)
                ));
                continue;
            }
            match (*known, &self.webhook) {
                ("Webhook", Some(webhook)) => links.push(Link::Webhook(Box::new(webhook.clone()))),
                ("Webhook", None) => {
                    faults.add("authorization-mode Webhook's authorization config file not passed");
                }
                (known, _) => links.push(Link::Mode(known)),
            }
        }
        if self.webhook.is_some() && !self.modes.iter().any(|mode| mode == "Webhook") {
            faults.add("cannot specify --authorization-webhook-config-file without mode Webhook");
        }
        if let Some(webhook) = &self.webhook
            && !matches!(webhook.version.as_str(), "v1" | "v1beta1")
        {
            faults.add(format!("unsupported webhook authorizer version {:?}", webhook.version));
        }
        links
    }
}

fn read(value: &Value, faults: &mut ConfigFaults) -> Vec<Link> {
    faults.type_is(value, "apiserver.config.k8s.io", "AuthorizationConfiguration");
    faults.known(value, "", &["apiVersion", "kind", "authorizers"]);
    let authorizers = items(value, &["authorizers"]);
    if authorizers.is_empty() {
        faults.add("authorizers: Required value: at least one authorization mode must be defined");
    }
    let (mut links, mut names, mut types): (Vec<Link>, Vec<&str>, Vec<&str>) = Default::default();
    for (i, authorizer) in authorizers.iter().enumerate() {
        let path = format!("authorizers[{i}]");
        faults.known(authorizer, &path, &["type", "name", "webhook"]);
        let (kind, name) = (text(authorizer, &["type"]), text(authorizer, &["name"]));
        let Some(known) = MODES.iter().find(|known| **known == kind) else {
            faults.add(format!("{path}.type: Unsupported value: {kind:?}"));
            continue;
        };
        if kind != "Webhook" && types.contains(&kind) {
            faults.add(format!("{path}.type: Duplicate value: {kind:?}"));
        }
        if name.is_empty() {
            faults.add(format!("{path}.name: Required value"));
        } else if names.contains(&name) {
            faults.add(format!("{path}.name: Duplicate value: {name:?}"));
        } else if !oarlock_api::selector::dns1123_subdomain_faults(name).is_empty() {
            faults.add(format!("{path}.name: Invalid value: {name:?}: authorizer name is invalid"));
        }
        names.push(name);
        types.push(kind);
        let webhook = &authorizer["webhook"];
        match (*known, webhook.is_object()) {
            ("Webhook", true) => {
                let config = Webhook { path: format!("{path}.webhook"), value: webhook, faults }.read(name);
                links.extend(config.map(|config| Link::Webhook(Box::new(config))));
            }
            ("Webhook", false) => {
                faults.add(format!("{path}.webhook: Required value: required when type=Webhook"));
            }
            (_, true) => {
                faults.add(format!("{path}.webhook: Invalid value: may only be specified when type=Webhook"));
            }
            (known, false) => links.push(Link::Mode(known)),
        }
    }
    links
}

struct Webhook<'a> {
    path: String,
    value: &'a Value,
    faults: &'a mut ConfigFaults,
}

impl Webhook<'_> {
    fn add(&mut self, field: &str, fault: &str) {
        let path = &self.path;
        self.faults.add(format!("{path}.{field}: {fault}"));
    }

    /// None where there is no target; every other fault is told beside.
    fn read(mut self, name: &str) -> Option<WebhookAuthorizerConfig> {
        const KNOWN: [&str; 10] = [
            "authorizedTTL",
            "cacheAuthorizedRequests",
            "unauthorizedTTL",
            "cacheUnauthorizedRequests",
            "timeout",
            "subjectAccessReviewVersion",
            "matchConditionSubjectAccessReviewVersion",
            "failurePolicy",
            "connectionInfo",
            "matchConditions",
        ];
        let path = self.path.clone();
        self.faults.known(self.value, &path, &KNOWN);
        let authorized_ttl = self.ttl("authorizedTTL", "cacheAuthorizedRequests", 300);
        let unauthorized_ttl = self.ttl("unauthorizedTTL", "cacheUnauthorizedRequests", 30);
        let timeout = self.duration("timeout").unwrap_or_default();
        if timeout.is_zero() {
            self.add("timeout", "Required value");
        } else if timeout > TIMEOUT_MAX {
            self.add("timeout", "Invalid value: must be <= 30s");
        }
        let version = self.choice("subjectAccessReviewVersion", &["v1", "v1beta1"]);
        let policy = self.choice("failurePolicy", &["NoOpinion", "Deny"]);
        let conditions = self.conditions();
        if !items(self.value, &["matchConditions"]).is_empty() {
            self.choice("matchConditionSubjectAccessReviewVersion", &["v1"]);
        }
        let client = self.client()?;
        Some(WebhookAuthorizerConfig {
            name: name.into(),
            client,
            version,
            authorized_ttl,
            unauthorized_ttl,
            timeout,
            deny_on_failure: policy == "Deny",
            conditions,
        })
    }

    fn choice(&mut self, field: &str, allowed: &[&str]) -> String {
        let given = text(self.value, &[field]).to_string();
        if given.is_empty() {
            self.add(field, "Required value");
        } else if !allowed.contains(&given.as_str()) {
            self.add(
                field,
                &format!("Unsupported value: {given:?}: supported values: {}", crate::value::quoted(allowed)),
            );
        }
        given
    }

    fn ttl(&mut self, field: &str, switch: &str, default_seconds: u64) -> Duration {
        let ttl = self.duration(field).unwrap_or(Duration::from_secs(default_seconds));
        if at(self.value, &[switch]).and_then(Value::as_bool) == Some(false) { Duration::ZERO } else { ttl }
    }

    fn duration(&mut self, field: &str) -> Option<Duration> {
        let given = text(self.value, &[field]);
        if given.is_empty() {
            return None;
        }
        let parsed = parse_duration(given);
        if parsed.is_none() {
            self.add(field, &format!("Invalid value: {given:?}: not a duration"));
        }
        parsed
    }

    fn conditions(&mut self) -> Vec<Expression> {
        let given = items(self.value, &["matchConditions"]);
        if given.len() > CONDITIONS_MAX {
            self.add(
                "matchConditions",
                &format!("Too many: {}: must have at most {CONDITIONS_MAX} items", given.len()),
            );
        }
        let mut conditions = Vec::new();
        for (i, condition) in given.iter().enumerate() {
            let expression = text(condition, &["expression"]);
            let field = format!("matchConditions[{i}].expression");
            if expression.trim().is_empty() {
                self.add(&field, "Required value");
                continue;
            }
            if given[..i].iter().any(|other| text(other, &["expression"]) == expression) {
                self.add(&field, &format!("Duplicate value: {expression:?}"));
            }
            match Expression::compile(expression, Over::Request, Want::Bool) {
                Ok(compiled) => conditions.push(compiled),
                Err(why) => self.add(&field, &format!("Invalid value: {expression:?}: {why}")),
            }
        }
        conditions
    }

    fn client(&mut self) -> Option<oarlock_apiserver_webhook::ClientConfig> {
        let info = &self.value["connectionInfo"];
        match text(info, &["type"]) {
            "" => self.add("connectionInfo.type", "Required value"),
            "KubeConfigFile" => match text(info, &["kubeConfigFile"]) {
                "" => self.add("connectionInfo.kubeConfigFile", "Required value"),
                file if !Path::new(file).is_absolute() => {
                    self.add(
                        "connectionInfo.kubeConfigFile",
                        &format!("Invalid value: {file:?}: must be an absolute path"),
                    );
                }
                file => match from_kubeconfig(Path::new(file)) {
                    Ok(client) => return Some(client),
                    Err(error) => {
                        self.add(
                            "connectionInfo.kubeConfigFile",
                            &format!("Invalid value: {file:?}: {error}"),
                        );
                    }
                },
            },
            other => self.add(
                "connectionInfo.type",
                &format!("Unsupported value: {other:?}: supported values: \"KubeConfigFile\""),
            ),
        }
        None
    }
}

/// A Go duration of one or more parts: `30s`, `1m30s`, `500ms`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        total += number
            * match &rest[..letters] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(total).ok()
}
