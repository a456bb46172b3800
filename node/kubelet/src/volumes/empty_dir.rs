//! Directories that begin empty, on disk or in memory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use nix::mount::{MsFlags, mount};

use super::SetUpError;
use super::owner::give_to_group;
use crate::pod::{PodExt as _, value};

pub(super) async fn set_up(source: &EmptyDirVolumeSource, path: &Path, pod: &Pod) -> Result<(), SetUpError> {
    if path.is_dir() {
        return Ok(());
    }
    let io = || SetUpError::io(path);
    tokio::fs::create_dir_all(path).await.map_err(io())?;
    match source.medium.as_deref() {
        Some("Memory") => {
            let limit = source.size_limit.as_ref().map(value).filter(|&bytes| bytes > 0);
            let options = limit.map(|bytes| format!("size={bytes}"));
            let flags = MsFlags::MS_NOATIME;
            mount(Some("tmpfs"), path, Some("tmpfs"), flags, options.as_deref())
                .map_err(|errno| io()(errno.into()))?;
        }
        None | Some("") => {}
        Some(medium) => return Err(SetUpError::Invalid(format!("unknown storage medium {medium:?}"))),
    }
    let group = pod.spec().security_context.as_ref().and_then(|security| security.fs_group);
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).await.map_err(io())?;
    if let Some(group) = group {
        give_to_group(path, group).map_err(io())?;
    }
    Ok(())
}
