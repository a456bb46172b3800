//! How the socket serves: TLS, HTTP/2, and sharing its port.

use clap::{ArgAction, Args};
use oarlock_apiserver::{SocketSettings, curve_is_known, suite_of};

use super::faults::Faults;

/// What upstream knows beside what we have: weak, or of TLS 1.3, where all are always on.
const PASSED_OVER: [&str; 3] = ["_CBC_", "_RC4_", "TLS_RSA_WITH_"];
const OF_TLS13: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

#[derive(Args, Debug, Clone)]
pub(crate) struct SocketFlags {
    /// The lowest version of TLS; TLS 1.0 and 1.1 are never spoken
    #[arg(long, value_name = "V", default_value = "VersionTLS12", value_parser = ["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"])]
    pub tls_min_version: String,
    /// Cipher suites of TLS 1.2, by IANA's names [default: all that are safe]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub tls_cipher_suites: Vec<String>,
    /// Key exchanges by IANA's numbers, the best first: 29 is X25519, 23 P-256, 24 P-384
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub tls_curve_preferences: Vec<u16>,
    /// Whether HTTP/1.1 alone is spoken
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disable_http2_serving: bool,
    /// Requests at a time on one HTTP/2 connection; 0 is 250
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub http2_max_streams_per_connection: u32,
    /// Whether another process may listen on the same port (SO_REUSEPORT)
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub permit_port_sharing: bool,
    /// Whether the address may be taken while old connections end (SO_REUSEADDR); it always may
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub permit_address_sharing: bool,
}

impl SocketFlags {
    pub(super) fn read(&self, faults: &mut Faults) -> SocketSettings {
        let mut ciphers = Vec::new();
        for name in self.tls_cipher_suites.iter().filter(|name| !OF_TLS13.contains(&name.as_str())) {
            if suite_of(name).is_some() {
                ciphers.push(name.clone());
            } else if !PASSED_OVER.iter().any(|weak| name.contains(weak)) {
                faults
                    .add(format!("--tls-cipher-suites: Cipher suite {name} not supported or doesn't exist"));
            }
        }
        if ciphers.is_empty() && self.tls_cipher_suites.iter().any(|name| !OF_TLS13.contains(&name.as_str()))
        {
            faults.add("--tls-cipher-suites: none of these suites is safe");
        }
        for curve in self.tls_curve_preferences.iter().filter(|curve| !curve_is_known(**curve)) {
            faults.add(format!("--tls-curve-preferences: there is no key exchange {curve} here"));
        }
        SocketSettings {
            tls13_only: self.tls_min_version == "VersionTLS13",
            ciphers,
            curves: self.tls_curve_preferences.clone(),
            without_http2: self.disable_http2_serving,
            streams_max: self.http2_max_streams_per_connection,
            shares_port: self.permit_port_sharing,
        }
    }
}
