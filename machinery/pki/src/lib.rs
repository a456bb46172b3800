//! Keys, certificates and kubeconfigs: what proves who is who in a cluster.
//!
//! Owns the making, the reading and the safe writing of PEM files. Knows nothing of what the identities may do.

mod any_server;
mod authority;
mod files;
mod identity;
mod kubeconfig;
mod tls;

pub use any_server::{AnyServer, client_config_for_any_server};
pub use authority::{Authority, Profile, SubjectName};
pub use files::{read_or_create, write_private};
pub use identity::{Identity, SigningKey};
pub use kubeconfig::{Kubeconfig, kubeconfig_yaml};
pub use tls::{client_config, install_crypto_provider, server_config};

use std::path::PathBuf;

/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("make {what}")]
    Make {
        what: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("{what} is not valid PEM")]
    Pem { what: String },
    #[error("build the TLS configuration for {what}")]
    Tls {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
