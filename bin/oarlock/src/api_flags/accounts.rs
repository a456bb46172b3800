//! Tokens of service accounts: who signs them, whose are believed, and how long they last.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use oarlock_apiserver::{TokenLimits, TokenSigningKey, TokenVerifyingKey, parse_duration};

use super::faults::Faults;

const EXPIRATION_MIN: Duration = Duration::from_secs(3600);
const EXPIRATION_MAX: Duration = Duration::from_secs(1 << 32);

#[derive(Args, Debug, Clone)]
pub(crate) struct AccountFlags {
    /// Who issues tokens; given again, whose tokens are believed, too [default: https://kubernetes.default.svc.CLUSTER-DOMAIN]
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// Keys of further tokens that are believed
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Vec<PathBuf>,
    /// The key that signs tokens [default: the cluster's own, made at the first start]
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Where the keys are published, if not at the issuer
    #[arg(long, value_name = "URL")]
    pub service_account_jwks_uri: Option<String>,
    /// Whom tokens for this server are for [default: the issuer]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// How long a token may last at most
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub service_account_max_token_expiration: Option<Duration>,
    /// Whether tokens of pods go on working for a year, for clients that do not read them again
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub service_account_extend_token_expiration: bool,
    /// Whether what a token is bound to must still be there
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub service_account_lookup: bool,
}

/// What the flags and their files say.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub signing_pem: Option<String>,
    pub verification_pem: Vec<String>,
    pub limits: TokenLimits,
}

impl AccountFlags {
    pub(super) fn read(&self, faults: &mut Faults) -> Accounts {
        let file = self.service_account_signing_key_file.as_deref();
        let signing_pem = faults.text("service-account-signing-key-file", file);
        if let Some(pem) = &signing_pem {
            faults.take("service-account-signing-key-file", TokenSigningKey::from_pem(pem));
        }
        let mut verification_pem = Vec::new();
        for path in &self.service_account_key_file {
            let Some(pem) = faults.text("service-account-key-file", Some(path)) else { continue };
            if faults.take("service-account-key-file", TokenVerifyingKey::all_from_pem(&pem)).is_some() {
                verification_pem.push(pem);
            }
        }
        self.check(faults);
        let max_seconds = self.service_account_max_token_expiration.filter(|max| !max.is_zero());
        let limits = TokenLimits {
            max_seconds: max_seconds.and_then(|max| i64::try_from(max.as_secs()).ok()),
            extends: self.service_account_extend_token_expiration,
        };
        Accounts { signing_pem, verification_pem, limits }
    }

    fn check(&self, faults: &mut Faults) {
        for issuer in &self.service_account_issuer {
            if issuer.is_empty() {
                faults.add("--service-account-issuer: an issuer has a name");
            } else if issuer.contains(':') && issuer.parse::<http::Uri>().is_err() {
                faults.add(format!(
                    "service-account-issuer {issuer:?} contained a ':' but was not a valid URL"
                ));
            }
        }
        if let Some(uri) = &self.service_account_jwks_uri
            && !uri.starts_with("https://")
        {
            faults.add(format!("service-account-jwks-uri requires https scheme, parsed as: {uri}"));
        }
        if let Some(max) = self.service_account_max_token_expiration
            && !max.is_zero()
            && !(EXPIRATION_MIN..=EXPIRATION_MAX).contains(&max)
        {
            faults.add("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
        }
    }
}
