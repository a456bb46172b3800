//! TLS for the socket. Client certificates are asked for, not required. Whether one is good is asked with each request, by
//! the authorities that are believed then; the handshake checks that its holder has the key.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oarlock_pki::PkiError;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::valve::Valve;
use super::{Certificates, suites};
use crate::config::{Error, SocketSettings};

/// What is encrypted before it is sent at most: what is gathered waits there, records and all.
pub(super) const ENCRYPTED_MAX: usize = 512 * 1024;

/// Streams of one HTTP/2 connection, as upstream's default.
const STREAMS_MAX: u32 = 250;

/// As ALPN names it.
pub(super) const HTTP2: &[u8] = b"h2";

/// The socket's TLS. Whose client certificates it takes may change while it runs.
pub(crate) struct Tls {
    serving: Arc<Certificates>,
    settings: SocketSettings,
    current: ArcSwap<Handshake>,
}

/// What new connections are accepted with. A new one resumes no session of an old one.
pub(crate) struct Handshake(TlsAcceptor);

type Accepted = (TlsStream<Valve<TcpStream>>, Arc<[CertificateDer<'static>]>);

impl Tls {
    pub(crate) fn new(
        serving: Arc<Certificates>,
        client_ca_pem: Option<&str>,
        settings: &SocketSettings,
    ) -> Result<Self, Error> {
        let first = handshake(&serving, client_ca_pem, settings)?;
        Ok(Self { serving, settings: settings.clone(), current: ArcSwap::from_pointee(first) })
    }

    /// Streams that one HTTP/2 connection may have.
    pub(super) fn streams_max(&self) -> u32 {
        match self.settings.streams_max {
            0 => STREAMS_MAX,
            told => told,
        }
    }

    /// The handshake with other authorities of clients.
    pub(crate) fn prepare(&self, client_ca_pem: Option<&str>) -> Result<Handshake, Error> {
        handshake(&self.serving, client_ca_pem, &self.settings)
    }

    /// For all that connect from now on.
    pub(crate) fn take(&self, handshake: Handshake) {
        self.current.store(Arc::new(handshake));
    }

    /// The handshake; gives the certificates that the client has shown, leaf first. It has the key of the leaf.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Accepted> {
        let current = self.current.load_full();
        let mut stream = current.0.accept(Valve::new(stream)).await?;
        stream.get_mut().1.set_buffer_limit(Some(ENCRYPTED_MAX));
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
        Ok((stream, shown))
    }
}

fn handshake(
    serving: &Arc<Certificates>,
    client_ca_pem: Option<&str>,
    settings: &SocketSettings,
) -> Result<Handshake, Error> {
    let clients = client_ca_pem.map(client_verifier).transpose()?;
    let builder = suites::server(settings).map_err(Error::Rustls)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(Arc::new(Lenient(verifier))),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(serving.clone());
    // Ours is the side that encrypts much, and we know what this processor does quickly.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !settings.without_http2 {
        config.alpn_protocols.insert(0, HTTP2.to_vec());
    }
    Ok(Handshake(TlsAcceptor::from(Arc::new(config))))
}

fn client_verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| PkiError::Pem { what: "the client authority".into() })?;
        roots.add(certificate).map_err(|error| Error::Rustls(error.to_string()))?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(|error| Error::Rustls(error.to_string()))
}

/// Lets any certificate through the handshake, but checks that its holder has the key.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
