//! `fsGroup`: a volume's directory belongs to the pod's group, and what is made in it does, too.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

pub(super) fn give_to_group(dir: &Path, group: i64) -> io::Result<()> {
    let group = u32::try_from(group).map_err(io::Error::other)?;
    chown(dir, None, Some(group))?;
    let mode = std::fs::metadata(dir)?.permissions().mode() & 0o7777;
    // Read, write and search for the group, and setgid, so that new files inherit it.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode | 0o2770))
}
