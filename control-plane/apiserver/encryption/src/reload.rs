//! Takes a changed configuration file over. A file that cannot be used changes nothing.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oarlock_base::Shutdown;

use crate::changes::FileChanges;
use crate::config::{ConfigError, EncryptionConfiguration};
use crate::encryption::Encryption;

/// How often the file is looked at while it cannot be watched.
const BLIND: Duration = Duration::from_secs(60);

/// What follows the file. (`--encryption-provider-config-automatic-reload`)
pub struct Reload {
    encryption: Arc<Encryption>,
    path: PathBuf,
    changes: FileChanges,
    known: Vec<u8>,
}

impl Reload {
    /// Begins to watch, and takes the file over as it is now. Must be called in a runtime with IO.
    pub fn new(encryption: Arc<Encryption>, path: PathBuf) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Watch { path: path.clone(), source };
        let changes = FileChanges::of([path.clone()]).map_err(failed)?;
        let known = std::fs::read(&path).map_err(failed)?;
        encryption.replace(&EncryptionConfiguration::parse(&path, &known)?)?;
        Ok(Self { encryption, path, changes, known })
    }

    /// Follows the file until the shutdown. Where the kernel cannot tell any more (the directory is gone), it is looked at
    /// every minute, as upstream does.
    pub async fn run(mut self, stop: Shutdown) -> Result<(), Infallible> {
        loop {
            match stop.or(self.changes.changed()).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(path = %self.path.display(), %error, "the encryption configuration cannot be watched");
                    if stop.or(tokio::time::sleep(BLIND)).await.is_none() {
                        return Ok(());
                    }
                    if let Ok(changes) = FileChanges::of([self.path.clone()]) {
                        self.changes = changes;
                    }
                }
            }
            // A file that is away for a moment is about to be replaced.
            if let Ok(bytes) = tokio::fs::read(&self.path).await
                && self.known != bytes
            {
                take(&self.encryption, &self.path, &bytes);
                self.known = bytes;
            }
        }
    }
}

fn take(encryption: &Encryption, path: &Path, bytes: &[u8]) {
    let taken = EncryptionConfiguration::parse(path, bytes).and_then(|new| encryption.replace(&new));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    match taken {
        Ok(()) => tracing::info!(?encryption, "the encryption configuration was loaded again"),
        Err(ref error) => tracing::error!(%error, "the changed encryption configuration cannot be used"),
    }
    encryption.metrics().reloaded(taken.is_ok(), now);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
