//! Whose certificates are believed: the authorities of clients and of front proxies. Their files are read again when
//! they change; then the handshake, authentication and what other servers are told (`bootstrap/trust`) follow.

use std::path::PathBuf;
use std::sync::Arc;

use oarlock_apiserver_access::authentication::RequestHeaderConfig;
use oarlock_base::Tasks;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config::{AuthorityFile, Config, Error};
use crate::follow::Followed;
use crate::listen::Tls;
use crate::server::Server;

const WHAT: &str = "client-authorities";

/// What is believed at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Believed {
    /// PEM; without it client certificates prove nothing.
    pub(crate) clients: Option<String>,
    pub(crate) proxies: Option<RequestHeaderConfig>,
}

impl Believed {
    pub(crate) fn at_start(config: &Config) -> Self {
        Self { clients: config.client_ca_pem.clone(), proxies: config.request_header() }
    }

    /// Whose client certificates the handshake takes: of clients, and of front proxies.
    pub(crate) fn handshake(&self) -> Option<String> {
        let proxies = self.proxies.as_ref().map(|header| &*header.client_ca_pem);
        let all: Vec<&str> = self.clients.as_deref().into_iter().chain(proxies).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

impl AuthorityFile {
    /// What is believed with these contents of the file, which must be certificates.
    pub fn with(&self, contents: &str) -> Result<String, String> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(contents.as_bytes()) {
            certificate.map_err(|error| format!("{}: {error}", self.path.display()))?;
            count += 1;
        }
        if count == 0 {
            return Err(format!("{}: it holds no certificate", self.path.display()));
        }
        Ok(match &self.beside {
            Some(own) => format!("{}\n{contents}", own.trim_end()),
            None => contents.to_string(),
        })
    }

    fn read(&self) -> Result<String, String> {
        let contents = std::fs::read_to_string(&self.path);
        self.with(&contents.map_err(|error| format!("{}: {error}", self.path.display()))?)
    }
}

/// Follows the files among `tasks`.
pub(crate) fn follow(
    config: &Config,
    server: &Arc<Server>,
    tls: &Arc<Tls>,
    tasks: &mut Tasks,
) -> Result<(), Error> {
    let (clients, proxies) = (config.running.client_ca.clone(), config.running.proxy_ca.clone());
    let paths: Vec<PathBuf> = clients.iter().chain(&proxies).map(|file| file.path.clone()).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let followed = Followed::new(WHAT, paths).map_err(|source| Error::Watch { what: WHAT, source })?;
    let (server, tls) = (server.clone(), tls.clone());
    let take = move || {
        let mut newer = (**server.believed.borrow()).clone();
        if let Some(file) = &clients {
            newer.clients = Some(file.read()?);
        }
        if let (Some(file), Some(header)) = (&proxies, &mut newer.proxies) {
            header.client_ca_pem = file.read()?;
        }
        take_over(&server, &tls, newer)
    };
    tasks.spawn(WHAT, move |stop| followed.run(stop, take));
    Ok(())
}

/// Whether it is new. With a fault everything stays as it was.
fn take_over(server: &Server, tls: &Tls, newer: Believed) -> Result<bool, String> {
    if newer == **server.believed.borrow() {
        return Ok(false);
    }
    let handshake = tls.prepare(newer.handshake().as_deref()).map_err(|error| error.to_string())?;
    let (clients, proxies) = (newer.clients.clone(), newer.proxies.clone());
    server.authenticator.believe(clients, proxies).map_err(|faults| faults.join("; "))?;
    tls.take(handshake);
    server.believed.send_replace(Arc::new(newer));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = AuthorityFile { path: "/ca.crt".into(), beside: Some("own\n".into()) };
        let good = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(file.with(good), Ok(format!("own\n{good}")));
        assert_eq!(file.with("nothing"), Err("/ca.crt: it holds no certificate".into()));
        assert!(file.with("-----BEGIN CERTIFICATE-----\nA").is_err());
    }
}
