//! Paths of the node itself: checked, and made where the type says so.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::SetUpError;

pub(super) async fn check(source: &HostPathVolumeSource) -> Result<(), SetUpError> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let found = tokio::fs::metadata(path).await.ok();
    let refused = |what: &str| {
        Err(SetUpError::Invalid(format!("hostPath type check failed: {} is not {what}", source.path)))
    };
    match (kind, &found) {
        ("DirectoryOrCreate", None) => {
            tokio::fs::create_dir_all(path).await.map_err(SetUpError::io(path))?;
            set_mode(path, 0o755).await
        }
        ("FileOrCreate", None) => {
            tokio::fs::File::create(path).await.map_err(SetUpError::io(path))?;
            set_mode(path, 0o644).await
        }
        ("Directory" | "DirectoryOrCreate", found) if !found.as_ref().is_some_and(|m| m.is_dir()) => {
            refused("a directory")
        }
        ("File" | "FileOrCreate", found) if !found.as_ref().is_some_and(|m| m.is_file()) => refused("a file"),
        ("Socket", found) if !found.as_ref().is_some_and(|m| m.file_type().is_socket()) => {
            refused("a socket file")
        }
        ("CharDevice", found) if !found.as_ref().is_some_and(|m| m.file_type().is_char_device()) => {
            refused("a character device")
        }
        ("BlockDevice", found) if !found.as_ref().is_some_and(|m| m.file_type().is_block_device()) => {
            refused("a block device")
        }
        _ => Ok(()),
    }
}

async fn set_mode(path: &Path, mode: u32) -> Result<(), SetUpError> {
    let permissions = std::fs::Permissions::from_mode(mode);
    tokio::fs::set_permissions(path, permissions).await.map_err(SetUpError::io(path))
}
