//! Who is believed: client certificates, front proxies, tokens of several kinds.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use oarlock_apiserver::{
    Anonymous, AuthenticationConfig, CertificateFiles, OidcFlags, RequestHeaderConfig, TokenWebhook,
    from_kubeconfig, parse_duration,
};
use oarlock_pki::Identity;

use super::faults::Faults;

#[derive(Args, Debug, Clone)]
pub(crate) struct AuthenticationFlags {
    /// Authorities whose client certificates are believed, beside the cluster's own
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether requests without credentials are let through to authorisation [default: health and version only]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub anonymous_auth: Option<bool>,
    /// Who is believed, and how (AuthenticationConfiguration); read again when it changes
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// Whether bootstrap tokens in kube-system are believed
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_bootstrap_token_auth: bool,
    /// Static tokens: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// The webhook that knows tokens, as a kubeconfig
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long its answers are believed
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// The version of TokenReview that it speaks
    #[arg(long, value_name = "V", default_value = "v1beta1", value_parser = ["v1", "v1beta1"])]
    pub authentication_token_webhook_version: String,
    #[command(flatten)]
    pub proxy: ProxyFlags,
    #[command(flatten)]
    pub oidc: OidcArguments,
}

/// Who may speak for others, and who this server is to those that it proxies to.
#[derive(Args, Debug, Clone)]
pub(crate) struct ProxyFlags {
    /// Authorities of front proxies, who tell in headers whom they speak for
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of front proxies; any where none is told
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the user
    #[arg(long, value_name = "HEADERS", value_delimiter = ',', default_value = "X-Remote-User")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers with the user's uid
    #[arg(long, value_name = "HEADERS", value_delimiter = ',', default_value = "X-Remote-Uid")]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers with groups
    #[arg(long, value_name = "HEADERS", value_delimiter = ',', default_value = "X-Remote-Group")]
    pub requestheader_group_headers: Vec<String>,
    /// What headers with anything else begin with
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',', default_value = "X-Remote-Extra-")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// The certificate to show to aggregated servers, of an authority of --requestheader-client-ca-file
    #[arg(long, value_name = "FILE", requires_all = ["proxy_client_key_file", "requestheader_client_ca_file"])]
    pub proxy_client_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "proxy_client_cert_file")]
    pub proxy_client_key_file: Option<PathBuf>,
}

/// One OpenID Connect issuer; several stand in --authentication-config.
#[derive(Args, Debug, Clone)]
pub(crate) struct OidcArguments {
    /// An OpenID Connect issuer: https://…
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub oidc_issuer_url: String,
    /// The client that its tokens are for
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub oidc_client_id: String,
    /// The authority of the issuer's server [default: the machine's]
    #[arg(long, value_name = "FILE")]
    pub oidc_ca_file: Option<PathBuf>,
    /// The claim with the user
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub oidc_username_claim: String,
    /// What is put before users; - is nothing
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub oidc_username_prefix: String,
    /// The claim with groups
    #[arg(long, value_name = "CLAIM", default_value = "", hide_default_value = true)]
    pub oidc_groups_claim: String,
    /// What is put before groups
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub oidc_groups_prefix: String,
    /// Algorithms of signatures
    #[arg(long, value_name = "ALGORITHMS", value_delimiter = ',', default_value = "RS256")]
    pub oidc_signing_algs: Vec<String>,
    /// Claims that tokens must have: claim=value
    #[arg(long, value_name = "CLAIM", value_delimiter = ',')]
    pub oidc_required_claim: Vec<String>,
}

impl AuthenticationFlags {
    /// What the flags and their files say, without what the server knows of itself.
    pub(super) fn read(&self, audiences: &[String], faults: &mut Faults) -> AuthenticationConfig {
        let config = AuthenticationConfig {
            client_ca_pem: faults.text("client-ca-file", self.client_ca_file.as_deref()),
            request_header: self.proxy.request_header(faults),
            token_file: faults.text("token-auth-file", self.token_auth_file.as_deref()),
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            anonymous: match self.anonymous_auth {
                None => Anonymous::Health,
                Some(true) => Anonymous::Everywhere,
                Some(false) => Anonymous::Never,
            },
            oidc: self.oidc.read(faults),
            webhook: self.webhook(faults),
            api_audiences: audiences.to_vec(),
            service_account_issuers: Vec::new(),
            file: faults.bytes("authentication-config", self.authentication_config.as_deref()),
        };
        faults.all(config.check());
        config
    }

    fn webhook(&self, faults: &mut Faults) -> Option<TokenWebhook> {
        let path = self.authentication_token_webhook_config_file.as_ref()?;
        let client = faults.take("authentication-token-webhook-config-file", from_kubeconfig(path))?;
        Some(TokenWebhook {
            client,
            version: self.authentication_token_webhook_version.clone(),
            cache_ttl: self.authentication_token_webhook_cache_ttl,
        })
    }
}

impl ProxyFlags {
    fn request_header(&self, faults: &mut Faults) -> Option<RequestHeaderConfig> {
        let file = self.requestheader_client_ca_file.as_deref();
        Some(RequestHeaderConfig {
            client_ca_pem: faults.text("requestheader-client-ca-file", file)?,
            allowed_names: self.requestheader_allowed_names.clone(),
            username_headers: self.requestheader_username_headers.clone(),
            uid_headers: self.requestheader_uid_headers.clone(),
            group_headers: self.requestheader_group_headers.clone(),
            extra_headers_prefixes: self.requestheader_extra_headers_prefix.clone(),
        })
    }

    /// Where the identity is, if it is told.
    pub(super) fn files(&self) -> Option<CertificateFiles> {
        let (cert, key) = (self.proxy_client_cert_file.clone()?, self.proxy_client_key_file.clone()?);
        Some(CertificateFiles { cert, key })
    }

    pub(super) fn identity(&self, faults: &mut Faults) -> Option<Identity> {
        let cert_pem = faults.text("proxy-client-cert-file", self.proxy_client_cert_file.as_deref());
        let key_pem = faults.text("proxy-client-key-file", self.proxy_client_key_file.as_deref());
        let identity = Identity { cert_pem: cert_pem?, key_pem: key_pem? };
        faults.take("proxy-client-cert-file", identity.certificates())?;
        faults.take("proxy-client-key-file", identity.private_key())?;
        Some(identity)
    }
}

impl OidcArguments {
    fn read(&self, faults: &mut Faults) -> OidcFlags {
        let claims = self.oidc_required_claim.iter().filter_map(|claim| {
            let pair = claim.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
            if pair.is_none() {
                faults.add(format!("--oidc-required-claim: {claim:?} is not claim=value"));
            }
            pair
        });
        OidcFlags {
            issuer_url: self.oidc_issuer_url.clone(),
            client_id: self.oidc_client_id.clone(),
            username_claim: self.oidc_username_claim.clone(),
            username_prefix: self.oidc_username_prefix.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            groups_prefix: self.oidc_groups_prefix.clone(),
            required_claims: claims.collect(),
            signing_algorithms: self.oidc_signing_algs.clone(),
            ca_pem: faults.text("oidc-ca-file", self.oidc_ca_file.as_deref()),
        }
    }
}
