//! Encryption at rest: EncryptionConfiguration (`apiserver.config.k8s.io/v1`) over any store.
//!
//! [`EncryptedStore`] stands between the server and its store. It asks the [`Encryption`] for the transformers of a
//! key's resource ([`Layout`] knows which key is whose), seals values on their way in and opens them on their way out.
//! The bytes are upstream's, so either server reads what the other wrote. [`Reload`] takes a changed file over.
//!
//! Knows nothing of objects or requests. Keys and plain values are never logged.

mod changes;
mod cipher;
mod config;
mod default;
mod encryption;
mod kms;
mod layout;
mod metrics;
mod reload;
mod store;
mod transform;
mod validate;

pub use changes::FileChanges;
pub use cipher::OpenError;
pub use config::{
    AesConfiguration, ConfigError, EncryptionConfiguration, Key, KmsConfiguration, ProviderConfiguration,
    ResourceConfiguration,
};
pub use default::{FILE_NAME, default_configuration};
pub use encryption::Encryption;
pub use layout::Layout;
pub use metrics::Metrics;
pub use reload::Reload;
pub use store::{EncryptedStore, is_encrypted};
