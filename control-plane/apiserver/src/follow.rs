//! Files that are read again when they change, told by the kernel.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use oarlock_apiserver_encryption::FileChanges;
use oarlock_base::Shutdown;

/// How often files are looked at while they cannot be watched.
const BLIND: Duration = Duration::from_secs(60);

/// Files that are watched from when this is made.
pub(crate) struct Followed {
    what: &'static str,
    paths: Vec<PathBuf>,
    changes: FileChanges,
}

impl Followed {
    /// Must be called in a runtime with IO. `what` names the files in the log.
    pub(crate) fn new(what: &'static str, paths: Vec<PathBuf>) -> std::io::Result<Self> {
        Ok(Self { what, changes: FileChanges::of(paths.clone())?, paths })
    }

    /// Calls `taken` once for what was changed before this runs, and after every change; it compares for itself.
    pub(crate) async fn run(
        mut self,
        stop: Shutdown,
        mut taken: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), Infallible> {
        loop {
            match taken() {
                Ok(true) => tracing::info!(what = self.what, "changed files were loaded again"),
                Ok(false) => {}
                Err(error) => tracing::error!(what = self.what, %error, "changed files cannot be used"),
            }
            match stop.or(self.changes.changed()).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(what = self.what, %error, "files cannot be watched");
                    if stop.or(tokio::time::sleep(BLIND)).await.is_none() {
                        return Ok(());
                    }
                    if let Ok(changes) = FileChanges::of(self.paths.clone()) {
                        self.changes = changes;
                    }
                }
            }
        }
    }
}
