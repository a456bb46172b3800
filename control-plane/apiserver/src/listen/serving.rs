//! Which certificate the socket shows: by the name that the client asks for, and always the newest of its file.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use oarlock_pki::Identity;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use crate::config::{CertificateFiles, Error, ServingFiles};

/// The certificates of the socket. Those of files are replaced while the server runs.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: ServingFiles,
    own: Option<Arc<CertifiedKey>>,
    current: ArcSwap<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Shown {
    /// What the files held.
    read: Vec<Pem>,
    main: Arc<CertifiedKey>,
    by_name: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl Certificates {
    /// `own` is shown where no file is told.
    pub(crate) fn new(own: &Identity, files: &ServingFiles) -> Result<Self, Error> {
        let own = match &files.main {
            Some(_) => None,
            None => Some(certified(own).map_err(Error::Rustls)?),
        };
        let current = ArcSwap::from_pointee(load(files, own.as_ref(), read_all(files)?)?);
        Ok(Self { files: files.clone(), own, current })
    }

    /// The files that this is made of.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.all().flat_map(|files| [files.cert.clone(), files.key.clone()]).collect()
    }

    /// Reads the files again; whether they hold something new. With a fault, what was shown goes on to be shown: a
    /// certificate and a key are not replaced in one instant.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        let read = read_all(&self.files)?;
        if read == self.current.load().read {
            return Ok(false);
        }
        self.current.store(Arc::new(load(&self.files, self.own.as_ref(), read)?));
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.current.load();
        Some(shown.of(hello.server_name()).clone())
    }
}

impl Shown {
    /// An exact name goes over a wildcard, the first of several over the others.
    fn of(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name.filter(|_| !self.by_name.is_empty()) else { return &self.main };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let find = |wanted: &str| {
            let named = self.by_name.iter().find(|(names, _)| names.iter().any(|known| known == wanted));
            named.map(|(_, key)| key)
        };
        find(&name).or_else(|| wildcard.as_deref().and_then(find)).unwrap_or(&self.main)
    }
}

impl ServingFiles {
    fn all(&self) -> impl Iterator<Item = &CertificateFiles> {
        self.main.iter().chain(self.by_name.iter().map(|(files, _)| files))
    }
}

fn read_all(files: &ServingFiles) -> Result<Vec<Pem>, Error> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| Error::Certificate { path: path.clone(), why: error.to_string() })
    };
    files.all().map(|files| Ok(Pem { cert: read(&files.cert)?, key: read(&files.key)? })).collect()
}

fn load(files: &ServingFiles, own: Option<&Arc<CertifiedKey>>, read: Vec<Pem>) -> Result<Shown, Error> {
    let mut keys = Vec::with_capacity(read.len());
    for (files, pem) in files.all().zip(&read) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let identity = Identity { cert_pem: text(&pem.cert), key_pem: text(&pem.key) };
        let made = certified(&identity);
        keys.push(made.map_err(|why| Error::Certificate { path: files.cert.clone(), why })?);
    }
    let mut keys = keys.into_iter();
    let main = match (&files.main, own) {
        (None, Some(own)) => own.clone(),
        _ => keys.next().expect("each file was loaded, the main one first"),
    };
    let by_name = files.by_name.iter().zip(keys).map(|((_, names), key)| {
        let names = if names.is_empty() { names_of(&key) } else { names.clone() };
        (names.iter().map(|name| name.to_ascii_lowercase()).collect(), key)
    });
    Ok(Shown { main, by_name: by_name.collect(), read })
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, String> {
    let chain = identity.certificates().map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("it holds no certificate".into());
    }
    let key = identity.private_key().map_err(|error| error.to_string())?;
    let provider = rustls::crypto::CryptoProvider::get_default().ok_or("no cryptography is installed")?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())?;
    Ok(Arc::new(key))
}

/// The DNS names that a certificate is good for.
fn names_of(key: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = key.cert.first() else { return Vec::new() };
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
