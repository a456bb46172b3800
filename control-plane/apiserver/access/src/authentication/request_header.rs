//! A front proxy that has authenticated somebody says in headers whom. It is believed by its client certificate.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::HeaderMap;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer as _;

use super::client_certificates::Verified;
use crate::impersonate::unescape;
use crate::types::{AuthenticationError, Authenticator, Credentials, User};

/// `--requestheader-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeaderConfig {
    /// PEM of the authorities of proxies.
    pub client_ca_pem: String,
    /// Common names of proxies; any where it is empty.
    pub allowed_names: Vec<String>,
    pub username_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_headers_prefixes: Vec<String>,
}

pub struct RequestHeaders {
    proxies: Verified<()>,
    allowed_names: Vec<String>,
    usernames: Vec<String>,
    uids: Vec<String>,
    groups: Vec<String>,
    /// In lower case.
    extra_prefixes: Vec<String>,
}

impl RequestHeaders {
    pub fn new(config: &RequestHeaderConfig) -> Result<Self, String> {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self {
            proxies: Verified::from_pem(&config.client_ca_pem)?,
            allowed_names: config.allowed_names.clone(),
            usernames: lower(&config.username_headers),
            uids: lower(&config.uid_headers),
            groups: lower(&config.group_headers),
            extra_prefixes: lower(&config.extra_headers_prefixes),
        })
    }

    fn user_of(&self, headers: &HeaderMap) -> Option<User> {
        let first = |names: &[String]| {
            let mut values = names.iter().filter_map(|name| headers.get(name.as_str())?.to_str().ok());
            values.find(|value| !value.is_empty()).map(str::to_string)
        };
        let name = first(&self.usernames)?;
        let groups = self.groups.iter().flat_map(|header| headers.get_all(header.as_str()));
        let groups = groups.filter_map(|value| value.to_str().ok()).map(str::to_string).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (header, value) in headers {
            let keys =
                self.extra_prefixes.iter().filter_map(|prefix| header.as_str().strip_prefix(prefix.as_str()));
            for key in keys {
                let value = value.to_str().unwrap_or_default().to_string();
                extra.entry(unescape(key)).or_default().push(value);
            }
        }
        Some(User { name, uid: first(&self.uids).unwrap_or_default(), groups, extra })
    }

    fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<(), String> {
        self.proxies.of(chain, Timestamp::now(), |leaf| self.check_name(leaf))
    }

    fn check_name(&self, leaf: &[u8]) -> Result<(), String> {
        if self.allowed_names.is_empty() {
            return Ok(());
        }
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
        let name =
            leaf.subject().iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
        if self.allowed_names.iter().any(|allowed| allowed == name) {
            return Ok(());
        }
        Err(format!("x509: subject with cn={name} is not in the allowed list"))
    }
}

#[async_trait]
impl Authenticator for RequestHeaders {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        if credentials.client_certificates.is_empty() {
            return Ok(None);
        }
        let Some(user) = self.user_of(credentials.headers) else { return Ok(None) };
        // Headers of somebody who is no proxy are nobody's; the certificate may still say who that is.
        match self.verify(credentials.client_certificates) {
            Ok(()) => Ok(Some(user)),
            Err(error) => Err(AuthenticationError(error)),
        }
    }
}
