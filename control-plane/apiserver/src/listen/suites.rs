//! What the socket's TLS may be made of, by the names and numbers of upstream's flags.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ConfigBuilder, NamedGroup, ServerConfig, SupportedProtocolVersion, WantsVerifier};

use crate::config::SocketSettings;

/// A server's settings with what the user allows of the process's cryptography.
pub(super) fn server(
    settings: &SocketSettings,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, String> {
    let installed = CryptoProvider::get_default().ok_or("no cryptography is installed")?;
    let mut provider = CryptoProvider::clone(installed);
    if !settings.ciphers.is_empty() {
        let allowed: Vec<CipherSuite> = settings.ciphers.iter().filter_map(|name| suite_of(name)).collect();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || allowed.contains(&suite.suite()));
    }
    if !settings.curves.is_empty() {
        let known = std::mem::take(&mut provider.kx_groups);
        for wanted in &settings.curves {
            provider.kx_groups.extend(known.iter().filter(|group| u16::from(group.name()) == *wanted));
        }
    }
    let versions: &[&SupportedProtocolVersion] = match settings.tls13_only {
        true => &[&rustls::version::TLS13],
        false => rustls::DEFAULT_VERSIONS,
    };
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())
}

/// A suite of TLS 1.2 by its name in `--tls-cipher-suites`, if this server has it.
pub fn suite_of(name: &str) -> Option<CipherSuite> {
    Some(match name {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305" | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => {
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" | "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => {
            CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
        _ => return None,
    })
}

/// Whether this server has the group that a number of `--tls-curve-preferences` names.
pub fn curve_is_known(number: u16) -> bool {
    let wanted = NamedGroup::from(number);
    CryptoProvider::get_default()
        .is_some_and(|provider| provider.kx_groups.iter().any(|group| group.name() == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(settings: &SocketSettings) -> Arc<CryptoProvider> {
        oarlock_pki::install_crypto_provider();
        server(settings).expect("a builder").crypto_provider().clone()
    }

    #[test]
    fn what_is_not_allowed_is_not_offered() {
        let all = built(&SocketSettings::default());
        let name = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_string();
        let some = built(&SocketSettings { ciphers: vec![name], curves: vec![24, 29], ..Default::default() });
        let of_12 = |provider: &CryptoProvider| {
            let suites = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
            suites.map(|suite| suite.suite()).collect::<Vec<_>>()
        };
        assert!(of_12(&all).len() > 1);
        assert_eq!(of_12(&some), [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]);
        assert!(some.cipher_suites.iter().any(|suite| suite.tls13().is_some()), "those of 1.3 are always on");
        let groups: Vec<_> = some.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::X25519], "in the order that was told");
        assert!(curve_is_known(29) && !curve_is_known(7));
        assert!(suite_of("TLS_RSA_WITH_AES_128_CBC_SHA").is_none());
    }
}
