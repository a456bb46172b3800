//! Files that hold secrets: written whole or not at all, readable by their owner only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::PkiError;

/// Writes `content` beside `path`, syncs it and renames it into place, with mode 0600.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: path.to_path_buf(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = std::path::PathBuf::from(name);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    // The mode above counts only for a new file; a left-over one may have another.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// Reads `path`, or makes its content and writes it when there is no such file.
pub fn read_or_create(
    path: &Path,
    make: impl FnOnce() -> Result<String, PkiError>,
) -> Result<String, PkiError> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(content),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let content = make()?;
            write_private(path, content.as_bytes())?;
            Ok(content)
        }
        Err(source) => Err(PkiError::Read { path: path.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a/b.key");
        let first = read_or_create(&path, || Ok("one".into())).expect("made");
        let second = read_or_create(&path, || Ok("two".into())).expect("read");
        assert_eq!((first.as_str(), second.as_str()), ("one", "one"));
        let mode = fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
