//! How the server shows itself to kubelets, and whether it checks who they are.

use std::sync::Arc;

use oarlock_pki::{Identity, PkiError, client_config};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// `--kubelet-client-certificate`, `--kubelet-client-key` and `--kubelet-certificate-authority`.
#[derive(Debug, Clone, Default)]
pub struct KubeletTls {
    pub identity: Option<Identity>,
    /// None: kubelets are not verified, which is upstream's default.
    pub ca_pem: Option<String>,
}

pub(crate) fn client_tls(settings: &KubeletTls) -> Result<Arc<ClientConfig>, PkiError> {
    if let Some(ca) = &settings.ca_pem {
        return client_config(ca, settings.identity.as_ref()).map(Arc::new);
    }
    let failed =
        |source: rustls::Error| PkiError::Tls { what: "the kubelet client".into(), source: source.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    match &settings.identity {
        None => Ok(Arc::new(builder.with_no_client_auth())),
        Some(identity) => {
            let (certificates, key) = (identity.certificates()?, identity.private_key()?);
            builder.with_client_auth_cert(certificates, key).map(Arc::new).map_err(failed)
        }
    }
}

/// Takes any certificate, but checks that its holder has the key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
