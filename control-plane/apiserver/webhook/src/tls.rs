//! What a client trusts and shows: rustls configurations.

use std::sync::{Arc, LazyLock};

use oarlock_pki::AnyServer;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::{ClientConfig, ConfigError};

/// Where distributions keep what they trust, the first that is there.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read(path).ok());
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read is one that is not trusted.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&found.unwrap_or_default()).flatten());
    Arc::new(roots)
});

/// `http2`: whether the server may choose it.
pub(crate) fn client_config(config: &ClientConfig, http2: bool) -> Result<rustls::ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions");
    let builder = if config.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer::new(provider)))
    } else {
        // Without any roots there is no verifier, and nobody is trusted.
        let known = WebPkiServerVerifier::builder_with_provider(roots(config)?, provider.clone()).build();
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Explaining(known.ok(), AnyServer::new(provider))))
    };
    let mut made = match &config.credentials.certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let failed = |e: &dyn std::fmt::Display| ConfigError::Certificate(e.to_string());
            let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|e| failed(&e))?;
            let key = PrivateKeyDer::from_pem_slice(key.0.as_bytes()).map_err(|e| failed(&e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| failed(&e))?
        }
    };
    if http2 {
        made.alpn_protocols.push(b"h2".to_vec());
    }
    made.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(made)
}

fn roots(config: &ClientConfig) -> Result<Arc<RootCertStore>, ConfigError> {
    let Some(pem) = &config.ca_pem else { return Ok(SYSTEM_ROOTS.clone()) };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| ConfigError::CaBundle)?;
        roots.add(certificate).map_err(|_| ConfigError::CaBundle)?;
    }
    if roots.is_empty() { Err(ConfigError::CaBundle) } else { Ok(Arc::new(roots)) }
}

/// Verifies as ever; but says of a certificate without names that it has an old one, as Go does: it is what most often is
/// wrong with the certificate of a webhook.
#[derive(Debug)]
struct Explaining(Option<Arc<WebPkiServerVerifier>>, AnyServer);

pub(crate) const LEGACY_NAME: &str = "certificate relies on legacy Common Name field, use SANs instead";

impl Explaining {
    fn explained(
        error: rustls::Error,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> rustls::Error {
        let nameless = matches!(
            &error,
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
                if presented.is_empty()
        );
        if nameless && common_name(certificate).is_some_and(|old| old.eq_ignore_ascii_case(&name.to_str())) {
            return rustls::Error::General(LEGACY_NAME.into());
        }
        error
    }
}

fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(ToString::to_string)
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(known) = &self.0 else { return Err(CertificateError::UnknownIssuer.into()) };
        known
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| Self::explained(error, end_entity, server_name))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.supported_verify_schemes()
    }
}
