//! Encryption at rest: EncryptionConfiguration (`apiserver.config.k8s.io/v1`) over any store.
//!
//! [`EncryptedStore`] stands between the server and its store. It asks the [`Encryption`] for the transformers of a
//! key's resource ([`Layout`] knows which key is whose), seals values on their way in and opens them on their way out.
//! The bytes are upstream's, so either server reads what the other wrote. [`Reload`] takes a changed file over; it waits for
//! the file system to tell, and never stops the server.
//!
//! Knows nothing of objects or requests. Keys and plain values are never logged.
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use oarlock_apiserver_encryption::*;
//! # fn example(inner: Arc<dyn oarlock_store::Store>, layout: Layout) -> Result<(), ConfigError> {
//! // Secrets, under a key made at the first start. It belongs to one data directory: servers on one etcd share a file.
//! let (path, configuration) = default_configuration(Path::new("/var/lib/oarlock"))?;
//! let encryption = Encryption::new(&configuration, layout)?;
//! let store = EncryptedStore::new(inner, encryption.clone());
//! let reload = Reload::new(encryption, path)?; // to be run as a task
//! # let _ = (store, reload);
//! # Ok(())
//! # }
//! ```
//!
//! - A value is *stale* (`Store::is_stale`) when today's configuration would seal it otherwise: an update that changes nothing
//!   is then written all the same, so that `kubectl replace` of all Secrets rotates a key.
//! - What cannot be opened fails a `get` with `StoreError::Backend`, whose source is an [`OpenError`]. A list and a watch give
//!   the value as it is stored, and the reader asks [`is_encrypted`]: an entry skipped in silence would let a namespace be
//!   finalised over it.
//! - KMS v2 plugins are dialled when they are first needed. While one is down, what it alone can seal is not written.

mod changes;
mod cipher;
mod config;
mod decode;
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
