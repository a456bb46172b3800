//! Client certificates where the TLS handshake trusts more than one authority (clients' and the front proxy's): each
//! link verifies the chain against its own. A certificate that was verified is known for as long as it is valid.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::x509;
use crate::types::{AuthenticationError, Authenticator, Credentials, User};

/// Clients of one cluster: components, nodes and people.
const KNOWN_MAX: usize = 4096;

/// What is trusted to issue certificates.
pub(super) struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    pub(super) fn from_pem(pem: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { verifier: verifier.map_err(|error| error.to_string())? })
    }

    pub(super) fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<(), String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
        let verified = self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now());
        verified.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Common name is the user, organisations are the groups; verified against these authorities only.
pub struct VerifiedCertificates {
    authorities: Authorities,
    known: Mutex<HashMap<CertificateDer<'static>, Known>>,
}

#[derive(Clone)]
struct Known {
    user: Arc<User>,
    from: i64,
    until: i64,
}

impl VerifiedCertificates {
    pub fn from_pem(authorities: &str) -> Result<Self, String> {
        Ok(Self { authorities: Authorities::from_pem(authorities)?, known: Mutex::default() })
    }

    fn known(&self, leaf: &CertificateDer<'static>, now: i64) -> Option<Arc<User>> {
        let known = self.known.lock();
        known
            .get(leaf)
            .filter(|known| (known.from..=known.until).contains(&now))
            .map(|known| known.user.clone())
    }
}

#[async_trait]
impl Authenticator for VerifiedCertificates {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        let Some(leaf) = credentials.client_certificates.first() else { return Ok(None) };
        let now = Timestamp::now();
        if let Some(user) = self.known(leaf, now.as_second()) {
            return Ok(Some((*user).clone()));
        }
        self.authorities.verify(credentials.client_certificates).map_err(AuthenticationError)?;
        let Some((user, from, until)) = x509::valid_user_of(leaf, now)? else { return Ok(None) };
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(leaf.clone(), Known { user: Arc::new(user.clone()), from, until });
        Ok(Some(user))
    }
}
