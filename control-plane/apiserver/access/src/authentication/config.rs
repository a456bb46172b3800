//! Which credentials are known: everything that flags and files say of authentication, checked together.

use std::sync::Arc;
use std::time::Duration;

use oarlock_api::codec::yaml;
use oarlock_apiserver_webhook::{ClientConfig, Clients};
use serde_json::Value;

use super::{
    AuthenticationChain, BearerTokens, BootstrapTokens, ClientCertificates, JwtIssuer, OidcFlags, OidcTokens,
    RequestHeaderConfig, RequestHeaders, ServiceAccountTokens, StaticTokens, TokenAuthenticator, TokenUnion,
    WebhookTokens, oidc,
};
use crate::admission::config::ConfigFaults;
use crate::metrics::AccessMetrics;
use crate::types::{Authenticator, Objects};
use crate::value::{at, items, text};

/// Issuers of structured configuration, at most. (upstream)
const ISSUERS_MAX: usize = 64;

/// What may be asked without credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Health and version, as a safe default has it.
    #[default]
    Health,
    /// `--anonymous-auth=false`
    Never,
    /// `--anonymous-auth=true`: authorisation decides.
    Everywhere,
    /// `anonymous.conditions`: exactly these paths.
    Paths(Vec<String>),
}

/// `--authentication-token-webhook-*`
#[derive(Debug, Clone)]
pub struct TokenWebhook {
    pub client: ClientConfig,
    /// `v1` or `v1beta1`.
    pub version: String,
    pub cache_ttl: Duration,
}

/// Plain data; the binary fills it from flags and files.
#[derive(Debug, Clone, Default)]
pub struct AuthenticationConfig {
    /// `--client-ca-file`. Where the front proxy has an authority of its own, the handshake trusts both.
    pub client_ca_pem: Option<String>,
    pub request_header: Option<RequestHeaderConfig>,
    /// The contents of `--token-auth-file`.
    pub token_file: Option<String>,
    /// `--enable-bootstrap-token-auth`
    pub bootstrap_tokens: bool,
    pub anonymous: Anonymous,
    pub oidc: OidcFlags,
    pub webhook: Option<TokenWebhook>,
    /// `--api-audiences`; the service account issuer where none are told.
    pub api_audiences: Vec<String>,
    /// Issuers that only service accounts may have.
    pub service_account_issuers: Vec<String>,
    /// The contents of `--authentication-config`.
    pub file: Option<Vec<u8>>,
}

/// What authentication is made from.
#[derive(Clone)]
pub struct AuthenticationParts {
    pub objects: Arc<dyn Objects>,
    pub service_accounts: Arc<ServiceAccountTokens>,
    pub clients: Clients,
    pub metrics: AccessMetrics,
}

/// Ready to be asked.
pub struct Authentication {
    pub chain: AuthenticationChain,
    /// All authenticators of tokens, for TokenReview.
    pub tokens: Arc<dyn TokenAuthenticator>,
}

/// What the structured file adds to the flags.
struct Resolved {
    issuers: Vec<JwtIssuer>,
    anonymous: Anonymous,
}

impl AuthenticationConfig {
    /// Checks everything; gives all faults.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut faults = ConfigFaults::new();
        self.resolve(&mut faults);
        self.check_files(&mut faults);
        faults.into_result(())
    }

    /// In upstream's order: front proxy, client certificates, then tokens.
    pub fn build(&self, parts: AuthenticationParts) -> Result<Authentication, Vec<String>> {
        self.check()?;
        let resolved = self.resolve(&mut ConfigFaults::new());
        let one = |fault: String| vec![fault];
        let audiences = || self.api_audiences.clone();
        let mut links: Vec<Arc<dyn Authenticator>> = Vec::new();
        if let Some(proxy) = &self.request_header {
            links.push(Arc::new(RequestHeaders::new(proxy).map_err(one)?));
        }
        if let Some(ca) = &self.client_ca_pem {
            links.push(Arc::new(ClientCertificates::from_pem(ca).map_err(one)?));
        }
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
        if let Some(file) = &self.token_file {
            tokens.push(Arc::new(StaticTokens::parse(file, audiences()).map_err(one)?));
        }
        tokens.push(parts.service_accounts);
        if self.bootstrap_tokens {
            tokens.push(Arc::new(BootstrapTokens::new(parts.objects, audiences())));
        }
        for issuer in resolved.issuers {
            tokens.push(Arc::new(OidcTokens::new(issuer, parts.clients.clone(), audiences())));
        }
        if let Some(webhook) = &self.webhook {
            let client = parts.clients.client(&webhook.client).map_err(|error| one(error.to_string()))?;
            tokens.push(Arc::new(WebhookTokens::new(
                client,
                &webhook.version,
                webhook.cache_ttl,
                audiences(),
            )));
        }
        let tokens: Arc<dyn TokenAuthenticator> = Arc::new(TokenUnion::new(tokens));
        links.push(Arc::new(BearerTokens::new(tokens.clone())));
        let chain = AuthenticationChain::with(links, resolved.anonymous, parts.metrics);
        Ok(Authentication { chain, tokens })
    }

    fn check_files(&self, faults: &mut ConfigFaults) {
        if let Some(file) = &self.token_file
            && let Err(fault) = StaticTokens::parse(file, Vec::new())
        {
            faults.add(fault);
        }
        if let Some(ca) = &self.client_ca_pem
            && let Err(fault) = ClientCertificates::from_pem(ca)
        {
            faults.add(format!("client-ca-file: {fault}"));
        }
        if let Some(proxy) = &self.request_header {
            if let Err(fault) = RequestHeaders::new(proxy) {
                faults.add(format!("requestheader-client-ca-file: {fault}"));
            }
            if proxy.username_headers.iter().all(|header| header.trim().is_empty()) {
                faults.add("requestheader-username-headers must be specified");
            }
        }
        if let Some(webhook) = &self.webhook
            && !matches!(webhook.version.as_str(), "v1" | "v1beta1")
        {
            faults.add(format!("unsupported authentication webhook version {:?}", webhook.version));
        }
    }

    fn resolve(&self, faults: &mut ConfigFaults) -> Resolved {
        let by_flags = self.oidc.issuer(faults);
        let mut resolved = Resolved { issuers: Vec::new(), anonymous: self.anonymous.clone() };
        let Some(file) = &self.file else {
            resolved.issuers.extend(by_flags);
            return resolved;
        };
        if by_flags.is_some() {
            faults.add("authentication-config file and oidc-* flags are mutually exclusive");
        }
        faults.enter("authentication-config");
        match yaml::parse(file) {
            Err(error) => faults.add(error.to_string()),
            Ok(value) => self.read(&value, &mut resolved, faults),
        }
        faults.enter("");
        resolved
    }

    fn read(&self, value: &Value, resolved: &mut Resolved, faults: &mut ConfigFaults) {
        faults.type_is(value, "apiserver.config.k8s.io", "AuthenticationConfiguration");
        faults.known(value, "", &["apiVersion", "kind", "jwt", "anonymous"]);
        resolved.issuers = oidc::issuers(value, &self.service_account_issuers, faults);
        if resolved.issuers.len() > ISSUERS_MAX {
            let count = resolved.issuers.len();
            faults.add(format!("jwt: Too many: {count}: must have at most {ISSUERS_MAX} items"));
        }
        let Some(anonymous) = at(value, &["anonymous"]).filter(|a| !a.is_null()) else { return };
        faults.known(anonymous, "anonymous", &["enabled", "conditions"]);
        if matches!(self.anonymous, Anonymous::Never | Anonymous::Everywhere) {
            faults.add("anonymous: Forbidden: --anonymous-auth flag cannot be set when the anonymous field is configured");
        }
        let mut paths = Vec::new();
        for (i, condition) in items(anonymous, &["conditions"]).iter().enumerate() {
            faults.known(condition, &format!("anonymous.conditions[{i}]"), &["path"]);
            paths.push(text(condition, &["path"]).to_string());
        }
        resolved.anonymous = match (anonymous["enabled"] == true, paths.is_empty()) {
            (true, true) => Anonymous::Everywhere,
            (true, false) => Anonymous::Paths(paths),
            (false, true) => Anonymous::Never,
            (false, false) => {
                faults.add("anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined");
                Anonymous::Never
            }
        };
    }
}
