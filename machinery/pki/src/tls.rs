//! rustls configurations from identities.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{Identity, PkiError};

/// Makes `aws-lc-rs` the process's provider of cryptography, its quickest cipher on this processor first, as Go prefers them.
/// Harmless when called again.
pub fn install_crypto_provider() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let has_aes = has_aes();
    provider.cipher_suites.sort_by_key(|suite| rank(suite.suite(), has_aes));
    // The error only says that a provider is installed already, which is what is wanted.
    let _ = provider.install_default();
}

/// How soon a cipher suite is chosen. All that `aws-lc-rs` has are held to be safe; AES-128 does a third less work than AES-256.
fn rank(suite: CipherSuite, has_aes: bool) -> u8 {
    use CipherSuite as S;
    match suite {
        S::TLS13_CHACHA20_POLY1305_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => 2 * u8::from(has_aes),
        S::TLS13_AES_128_GCM_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => u8::from(!has_aes),
        _ => 1 + u8::from(!has_aes),
    }
}

/// Whether the processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// A server that asks for a client certificate of `client_ca_pem` but serves clients without one, too.
pub fn server_config(
    identity: &Identity,
    client_ca_pem: Option<&str>,
    alpn: &[&str],
) -> Result<ServerConfig, PkiError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| PkiError::Tls { what: "a server".into(), source };
    let builder = ServerConfig::builder();
    let builder = match client_ca_pem {
        Some(pem) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder(Arc::new(roots(pem)?))
                .allow_unauthenticated()
                .build()
                .map_err(|e| failed(e.into()))?,
        ),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(identity.certificates()?, identity.private_key()?)
        .map_err(|e| failed(e.into()))?;
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}

/// A client that trusts `ca_pem` and, with an identity, shows its certificate.
pub fn client_config(ca_pem: &str, identity: Option<&Identity>) -> Result<ClientConfig, PkiError> {
    let builder = ClientConfig::builder().with_root_certificates(roots(ca_pem)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder
            .with_client_auth_cert(identity.certificates()?, identity.private_key()?)
            .map_err(|e| PkiError::Tls { what: "a client".into(), source: e.into() }),
    }
}

fn roots(pem: &str) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let cert = cert.map_err(|_| PkiError::Pem { what: "the authority bundle".into() })?;
        roots
            .add(cert)
            .map_err(|e| PkiError::Tls { what: "the authority bundle".into(), source: e.into() })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Profile, SubjectName};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    #[test]
    fn the_quickest_cipher_is_asked_for_first() {
        let order = |has_aes| {
            let mut suites = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
            suites.sort_by_key(|suite| rank(suite.suite(), has_aes));
            suites.first().map(|suite| suite.suite())
        };
        assert_eq!(order(true), Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert_eq!(order(false), Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256));
    }

    #[tokio::test]
    async fn a_client_and_a_server_of_one_authority_know_each_other() {
        install_crypto_provider();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ca = Authority::load_or_create(&dir.path().join("ca.crt"), &dir.path().join("ca.key"), "ca")
            .expect("an authority");
        let server = ca
            .issue(&Profile::server("api", vec![SubjectName::Dns("api.test".into())]))
            .expect("a server identity");
        let client = ca.issue(&Profile::client("alice", "admins")).expect("a client identity");
        let acceptor = TlsAcceptor::from(Arc::new(
            server_config(&server, Some(ca.cert_pem()), &["h2"]).expect("a server configuration"),
        ));
        let connector = TlsConnector::from(Arc::new(
            client_config(ca.cert_pem(), Some(&client)).expect("a client configuration"),
        ));
        let (near, far) = tokio::io::duplex(16 * 1024);
        let name = "api.test".try_into().expect("a DNS name");
        let (accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
        connected.expect("the client trusts the server");
        let accepted = accepted.expect("the server accepts the client");
        assert_eq!(accepted.get_ref().1.peer_certificates().map(<[_]>::len), Some(1));
    }
}
