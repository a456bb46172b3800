//! How the server serves: its certificates, its patience, its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use oarlock_apiserver::{CertificateFiles, ServingFiles, parse_duration};

use super::faults::Faults;

#[derive(Args, Debug, Clone)]
pub(crate) struct ServingFlags {
    /// The certificate to serve with, read again when it changes; its names must be those that the cluster's own clients use, too [default: one of the cluster's authority]
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// A certificate and its key for clients that ask for these names, or those of the certificate: cert,key:name,*.name
    #[arg(long, value_name = "FILES")]
    pub tls_sni_cert_key: Vec<String>,
    /// How long a request may take
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub request_timeout: Duration,
    /// Seconds that a watch lasts at least, if it does not say how long
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub min_request_timeout: u32,
    /// How long requests are still taken after /readyz has begun to fail
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub shutdown_delay_duration: Duration,
    /// The share of requests after which an HTTP/2 client is made to connect again, perhaps to another server: 0 to 0.02
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub goaway_chance: f64,
    /// How long events are kept
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub event_ttl: Duration,
}

impl ServingFlags {
    /// The user's certificates, each read once to see that it is there; the server checks that they are good.
    pub(super) fn files(&self, faults: &mut Faults) -> ServingFiles {
        let main = self.tls_cert_file.clone().zip(self.tls_private_key_file.clone());
        let main = main.map(|(cert, key)| CertificateFiles { cert, key });
        if let Some(files) = &main {
            faults.bytes("tls-cert-file", Some(&files.cert));
            faults.bytes("tls-private-key-file", Some(&files.key));
        }
        let mut by_name = Vec::new();
        for text in &self.tls_sni_cert_key {
            let Some((files, names)) = faults.take("tls-sni-cert-key", named(text)) else { continue };
            faults.bytes("tls-sni-cert-key", Some(&files.cert));
            faults.bytes("tls-sni-cert-key", Some(&files.key));
            by_name.push((files, names));
        }
        ServingFiles { main, by_name }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if !(0.0..=0.02).contains(&self.goaway_chance) {
            faults.add("--goaway-chance can not be less than 0 or greater than 0.02");
        }
        if self.request_timeout.is_zero() {
            faults.add("--request-timeout can not be zero");
        }
    }
}

/// `cert,key` or `cert,key:name,name`
fn named(text: &str) -> Result<(CertificateFiles, Vec<String>), String> {
    let (files, names) = text.split_once(':').unwrap_or((text, ""));
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_string);
    match files.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
        [cert, key] if !cert.is_empty() && !key.is_empty() => {
            Ok((CertificateFiles { cert: cert.into(), key: key.into() }, names.collect()))
        }
        _ => Err(format!("{text:?}: expected comma separated certificate and key file paths")),
    }
}

/// `30000-32767`, or `30000+2767`: a first port and how many follow.
pub(crate) fn port_range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let range = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => number(first).zip(number(last)),
        (None, Some((first, more))) => {
            number(first).zip(number(more)).and_then(|(first, more)| Some((first, first.checked_add(more)?)))
        }
        (None, None) => number(text).map(|one| (one, one)),
    };
    match range {
        Some((first, last)) if first > 0 && first <= last => Ok(first..=last),
        _ => Err(format!("{text:?} is not a range of ports: 30000-32767")),
    }
}
