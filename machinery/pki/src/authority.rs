//! A certificate authority: a self-signed certificate and the key that signs for it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::read_or_create;
use crate::{Identity, PkiError};

/// As kubeadm: authorities live ten years, what they issue one year.
const AUTHORITY_DAYS: u64 = 3650;
const LEAF_DAYS: u64 = 365;
/// Certificates begin a little in the past, for peers whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(300);

/// Signs certificates.
pub struct Authority {
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A name that a server answers by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    Dns(String),
    Ip(IpAddr),
}

/// What a certificate is for.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// The user name, for a client.
    pub common_name: String,
    /// The group, for a client (rcgen writes one attribute of a kind).
    pub organization: Option<String>,
    /// The names and addresses, for a server.
    pub names: Vec<SubjectName>,
    pub client: bool,
    pub server: bool,
}

impl Profile {
    /// A client that authenticates as `user` of `group`.
    /// `group` may be empty.
    pub fn client(user: &str, group: &str) -> Self {
        let organization = (!group.is_empty()).then(|| group.into());
        Self { common_name: user.into(), organization, client: true, ..Self::default() }
    }

    /// A server that answers by `names`.
    pub fn server(common_name: &str, names: Vec<SubjectName>) -> Self {
        Self { common_name: common_name.into(), names, server: true, ..Self::default() }
    }
}

impl Authority {
    /// Reads `cert` and `key`, or makes a new authority there.
    pub fn load_or_create(cert: &Path, key: &Path, common_name: &str) -> Result<Self, PkiError> {
        let what = || format!("the authority {common_name}");
        let made = |source| PkiError::Make { what: what(), source };
        let key_pem = read_or_create(key, || Ok(KeyPair::generate().map_err(made)?.serialize_pem()))?;
        let key_pair = KeyPair::from_pem(&key_pem).map_err(made)?;
        let cert_pem = read_or_create(cert, || {
            Ok(authority_params(common_name).self_signed(&key_pair).map_err(made)?.pem())
        })?;
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, key_pair).map_err(made)?;
        Ok(Self { cert_pem, issuer })
    }

    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Issues a certificate with a new key.
    pub fn issue(&self, profile: &Profile) -> Result<Identity, PkiError> {
        let made =
            |source| PkiError::Make { what: format!("the certificate of {}", profile.common_name), source };
        let key = KeyPair::generate().map_err(made)?;
        let cert = leaf_params(profile).map_err(made)?.signed_by(&key, &self.issuer).map_err(made)?;
        Ok(Identity { cert_pem: cert.pem(), key_pem: key.serialize_pem() })
    }

    /// Reads an identity from `cert` and `key`; issues a new one when they are missing, are not of this authority, do not
    /// match the profile, or have used up four fifths of their time.
    pub fn identity(&self, cert: &Path, key: &Path, profile: &Profile) -> Result<Identity, PkiError> {
        if let (Ok(cert_pem), Ok(key_pem)) = (std::fs::read_to_string(cert), std::fs::read_to_string(key)) {
            let found = Identity { cert_pem, key_pem };
            if self.still_good(&found, profile) {
                return Ok(found);
            }
        }
        let made = self.issue(profile)?;
        crate::write_private(key, made.key_pem.as_bytes())?;
        crate::write_private(cert, made.cert_pem.as_bytes())?;
        Ok(made)
    }

    fn still_good(&self, found: &Identity, profile: &Profile) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(found.cert_pem.as_bytes()) else { return false };
        let Ok(authority) = CertificateDer::from_pem_slice(self.cert_pem.as_bytes()) else { return false };
        if PrivateKeyDer::from_pem_slice(found.key_pem.as_bytes()).is_err() {
            return false;
        }
        let (Ok((_, leaf)), Ok((_, ca))) =
            (x509_parser::parse_x509_certificate(&der), x509_parser::parse_x509_certificate(&authority))
        else {
            return false;
        };
        let begin = leaf.validity().not_before.timestamp();
        let end = leaf.validity().not_after.timestamp();
        let now = jiff::Timestamp::now().as_second();
        leaf.issuer() == ca.subject()
            && leaf.verify_signature(Some(ca.public_key())).is_ok()
            && now < begin + (end - begin) * 4 / 5
            && leaf_names(&leaf) == wanted_names(profile)
    }
}

fn leaf_names(leaf: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let mut names: Vec<String> = leaf
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|san| {
            san.value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(dns) => Some((*dns).to_string()),
                    GeneralName::IPAddress(bytes) => ip_of(bytes).map(|ip| ip.to_string()),
                    _ => None,
                })
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

fn wanted_names(profile: &Profile) -> Vec<String> {
    let mut names: Vec<String> = profile
        .names
        .iter()
        .map(|name| match name {
            SubjectName::Dns(dns) => dns.clone(),
            SubjectName::Ip(ip) => ip.to_string(),
        })
        .collect();
    names.sort();
    names
}

fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = base_params(common_name, None, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(profile: &Profile) -> Result<CertificateParams, rcgen::Error> {
    let mut params = base_params(&profile.common_name, profile.organization.as_deref(), LEAF_DAYS);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if profile.client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    if profile.server {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    for name in &profile.names {
        params.subject_alt_names.push(match name {
            SubjectName::Dns(dns) => SanType::DnsName(dns.as_str().try_into()?),
            SubjectName::Ip(ip) => SanType::IpAddress(*ip),
        });
    }
    Ok(params)
}

fn base_params(common_name: &str, organization: Option<&str>, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    let now = std::time::SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + Duration::from_secs(days * 24 * 3600)).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(dir: &Path) -> Authority {
        Authority::load_or_create(&dir.join("ca.crt"), &dir.join("ca.key"), "test-ca").expect("an authority")
    }

    #[test]
    fn an_identity_is_kept_until_its_profile_or_authority_changes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (cert, key) = (dir.path().join("s.crt"), dir.path().join("s.key"));
        let ca = authority(dir.path());
        let one = Profile::server(
            "s",
            vec![SubjectName::Dns("a.test".into()), SubjectName::Ip([127, 0, 0, 1].into())],
        );
        let first = ca.identity(&cert, &key, &one).expect("issued");
        let again = authority(dir.path()).identity(&cert, &key, &one).expect("read");
        assert_eq!(first.cert_pem, again.cert_pem);
        let two = Profile::server("s", vec![SubjectName::Dns("b.test".into())]);
        let other = ca.identity(&cert, &key, &two).expect("issued anew");
        assert_ne!(first.cert_pem, other.cert_pem);
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        let stranger = authority(elsewhere.path()).identity(&cert, &key, &two).expect("issued by another");
        assert_ne!(stranger.cert_pem, other.cert_pem);
    }

    #[test]
    fn the_subject_names_user_and_group() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let made = authority(dir.path()).issue(&Profile::client("alice", "staff")).expect("issued");
        let der = CertificateDer::from_pem_slice(made.cert_pem.as_bytes()).expect("PEM");
        let (_, cert) = x509_parser::parse_x509_certificate(&der).expect("X.509");
        let groups: Vec<&str> = cert.subject().iter_organization().filter_map(|o| o.as_str().ok()).collect();
        assert_eq!(groups, ["staff"]);
    }
}
