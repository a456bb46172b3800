//! Host names to addresses, without getaddrinfo: the binary is static. `/etc/hosts` first, then the name servers of
//! `/etc/resolv.conf`, with its search list. Both files are read for each look-up: a look-up comes with a new connection,
//! and both change while we run.

mod files;
mod query;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};

use files::ResolvConf;
use query::{Answer, ask};

/// A name without an address. Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("lookup {host} on {server}: no such host")]
    NoSuchHost { host: String, server: SocketAddr },
    #[error("lookup {host}: i/o timeout")]
    TimedOut { host: String },
    #[error("lookup {host} on {server}: server misbehaving")]
    Misbehaving { host: String, server: SocketAddr },
    #[error("lookup {host}: invalid domain name")]
    Invalid { host: String },
}

/// Looks names up as this machine is configured to.
#[derive(Debug, Clone)]
pub struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new("/etc/hosts", "/etc/resolv.conf")
    }
}

impl Resolver {
    pub fn new(hosts: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>) -> Self {
        Self { hosts: hosts.into(), resolv_conf: resolv_conf.into() }
    }

    /// At least one address, IPv4 first. An address is its own.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        // A file that is not there is an empty one.
        let hosts = tokio::fs::read_to_string(&self.hosts).await.unwrap_or_default();
        let found = files::addresses(&hosts, host);
        if !found.is_empty() {
            return Ok(found);
        }
        if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        let conf = tokio::fs::read_to_string(&self.resolv_conf).await.unwrap_or_default();
        ask_all(&files::resolv_conf(&conf), host).await
    }
}

/// Each candidate name at each server, until one has addresses.
async fn ask_all(conf: &ResolvConf, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let mut last = ResolveError::TimedOut { host: host.into() };
    for candidate in conf.candidates(host) {
        let Ok(name) = Name::from_utf8(&candidate) else {
            return Err(ResolveError::Invalid { host: host.into() });
        };
        match ask_servers(conf, host, &name).await {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_servers(conf: &ResolvConf, host: &str, name: &Name) -> Result<Vec<IpAddr>, ResolveError> {
    let mut last = ResolveError::TimedOut { host: host.into() };
    for _ in 0..conf.attempts {
        for &server in &conf.servers {
            // Each by itself: a server that leaves one question unanswered has still answered the other.
            let limit = Duration::from_secs(conf.timeout_s);
            let asked = |kind| tokio::time::timeout(limit, ask(server, name, kind));
            let (v4, v6) = tokio::join!(asked(RecordType::A), asked(RecordType::AAAA));
            if v4.is_err() && v6.is_err() {
                continue;
            }
            let mut found = Vec::new();
            let mut failed = false;
            for answer in [v4, v6] {
                match answer {
                    Ok(Ok(Answer::Addresses(addresses))) => found.extend(addresses),
                    Ok(Ok(Answer::NoSuchName)) => {}
                    Ok(Ok(Answer::Failed) | Err(_)) | Err(_) => failed = true,
                }
            }
            match (found.is_empty(), failed) {
                (false, _) => return Ok(found),
                (true, false) => return Err(ResolveError::NoSuchHost { host: host.into(), server }),
                (true, true) => last = ResolveError::Misbehaving { host: host.into(), server },
            }
        }
    }
    Err(last)
}
