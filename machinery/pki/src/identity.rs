//! A certificate with its key, and the key that signs service account tokens.

use std::path::Path;

use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::PkiError;
use crate::files::read_or_create;

/// What a client or server shows, and how it proves that it is its own.
#[derive(Clone)]
pub struct Identity {
    pub cert_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(key withheld)")
    }
}

impl Identity {
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| PkiError::Pem { what: "the certificate".into() })
    }

    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PkiError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| PkiError::Pem { what: "the private key".into() })
    }
}

/// The key pair that signs and verifies service account tokens (ECDSA P-256, PKCS #8).
#[derive(Clone)]
pub struct SigningKey {
    pub private_pem: String,
    pub public_pem: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(withheld)")
    }
}

impl SigningKey {
    /// Reads the private key at `path`, or makes one there.
    pub fn load_or_create(path: &Path) -> Result<Self, PkiError> {
        let made = |source| PkiError::Make { what: "the service account key".into(), source };
        let private_pem = read_or_create(path, || Ok(KeyPair::generate().map_err(made)?.serialize_pem()))?;
        let public_pem = KeyPair::from_pem(&private_pem).map_err(made)?.public_key_pem();
        Ok(Self { private_pem, public_pem })
    }
}
