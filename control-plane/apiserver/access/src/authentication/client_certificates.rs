//! Client certificates. The handshake has proved that the client holds the key of the leaf it shows, and nothing else: each
//! link verifies the chain against its own authorities, of clients or of the front proxy, with every request. So one and the
//! same connection is known from when its authority is believed until it is not, or until something expires.
//!
//! What was found is remembered for as long as every certificate that had a part in it is valid. Other authorities are
//! another link, which remembers nothing yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer as _;

use super::x509;
use crate::types::{AuthenticationError, Authenticator, Credentials, User};

/// Clients of one cluster: components, nodes and people.
const KNOWN_MAX: usize = 4096;

/// What is trusted to issue certificates.
pub(super) struct Authorities {
    roots: Vec<Root>,
    /// Of all roots, for as long as all are valid.
    whole: Arc<dyn ClientCertVerifier>,
}

struct Root {
    certificate: CertificateDer<'static>,
    from: i64,
    until: i64,
}

impl Root {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, String> {
        let (from, until) = validity(&certificate).ok_or("malformed certificate")?;
        Ok(Self { certificate, from, until })
    }

    fn is_valid(&self, now: i64) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// From and until when a certificate is valid.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn verifier<'a>(roots: impl Iterator<Item = &'a Root>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.certificate.clone()).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    built.map_err(|error| error.to_string())
}

impl Authorities {
    pub(super) fn from_pem(pem: &str) -> Result<Self, String> {
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.push(Root::new(certificate.map_err(|error| error.to_string())?)?);
        }
        let whole = verifier(roots.iter())?;
        Ok(Self { roots, whole })
    }

    /// Until when the chain, leaf first, is good. A root that has expired proves nothing (as in Go; webpki would not ask).
    fn verify(&self, chain: &[CertificateDer<'static>], now: i64) -> Result<i64, String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        let trusted = if self.roots.iter().all(|root| root.is_valid(now)) {
            self.whole.clone()
        } else {
            verifier(self.roots.iter().filter(|root| root.is_valid(now)))?
        };
        trusted.verify_client_cert(leaf, intermediates, at).map_err(|error| error.to_string())?;
        let roots = self.roots.iter().filter(|root| root.is_valid(now)).map(|root| root.until);
        let shown = chain.iter().filter_map(|shown| Some(validity(shown)?.1)).filter(|until| *until >= now);
        // The path may go without some of them; then it is only looked for again.
        Ok(roots.chain(shown).min().unwrap_or(now))
    }
}

/// Chains that were verified, with what was found, for as long as it holds.
pub(super) struct Verified<T> {
    authorities: Authorities,
    known: Mutex<HashMap<Box<[CertificateDer<'static>]>, Known<T>>>,
}

#[derive(Clone)]
struct Known<T> {
    found: T,
    from: i64,
    until: i64,
}

impl<T: Clone> Verified<T> {
    pub(super) fn from_pem(authorities: &str) -> Result<Self, String> {
        Ok(Self { authorities: Authorities::from_pem(authorities)?, known: Mutex::default() })
    }

    /// What `find` finds in a chain that these authorities stand for.
    pub(super) fn of(
        &self,
        chain: &[CertificateDer<'static>],
        now: Timestamp,
        find: impl FnOnce(&CertificateDer<'static>) -> Result<T, String>,
    ) -> Result<T, String> {
        let seconds = now.as_second();
        let holds = |known: &&Known<T>| (known.from..=known.until).contains(&seconds);
        if let Some(known) = self.known.lock().get(chain).filter(holds) {
            return Ok(known.found.clone());
        }
        let until = self.authorities.verify(chain, seconds)?;
        let found = find(chain.first().ok_or("no certificate")?)?;
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(chain.into(), Known { found: found.clone(), from: seconds, until });
        Ok(found)
    }
}

/// Common name is the user, organisations are the groups; verified against these authorities only.
pub struct ClientCertificates(Verified<Option<Arc<User>>>);

impl ClientCertificates {
    pub fn from_pem(authorities: &str) -> Result<Self, String> {
        Verified::from_pem(authorities).map(Self)
    }

    fn user(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Option<User>, String> {
        let find = |leaf: &CertificateDer<'static>| {
            x509::user_of(leaf, now).map(|user| user.map(Arc::new)).map_err(|error| error.0)
        };
        Ok(self.0.of(chain, now, find)?.map(|user| (*user).clone()))
    }
}

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        if credentials.client_certificates.is_empty() {
            return Ok(None);
        }
        self.user(credentials.client_certificates, Timestamp::now()).map_err(AuthenticationError)
    }
}

#[cfg(test)]
#[path = "client_certificates_tests.rs"]
mod tests;
