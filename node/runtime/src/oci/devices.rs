//! Devices that a container is given beyond the standard ones.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use oarlock_cri::v1::Device;
use serde_json::{Value, json};

/// What already stands in every container's /dev, or must not come from the host.
const OWN: [&str; 7] = ["pts", "shm", "fd", "mqueue", "console", "ptmx", "core"];

/// A device node of the host and its place in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    path: PathBuf,
    kind: char,
    major: u64,
    minor: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    access: String,
}

impl Node {
    fn read(host: &Path, inside: &Path, access: &str) -> Option<Self> {
        let meta = fs::metadata(host).ok()?;
        let kind = match meta.file_type() {
            kind if kind.is_block_device() => 'b',
            kind if kind.is_char_device() => 'c',
            _ => return None,
        };
        Some(Self {
            path: inside.to_owned(),
            kind,
            major: u64::from(libc::major(meta.rdev())),
            minor: u64::from(libc::minor(meta.rdev())),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            access: access.to_string(),
        })
    }

    /// The entry of `linux.devices`.
    pub(crate) fn node(&self) -> Value {
        json!({
            "path": self.path, "type": self.kind.to_string(), "major": self.major, "minor": self.minor,
            "fileMode": self.mode, "uid": self.uid, "gid": self.gid,
        })
    }

    /// The entry of `linux.resources.devices`.
    pub(crate) fn rule(&self) -> Value {
        json!({
            "allow": true, "type": self.kind.to_string(), "major": self.major, "minor": self.minor,
            "access": self.access,
        })
    }
}

/// The nodes that a container asks for; a directory stands for all nodes below it.
pub(crate) fn asked(devices: &[Device]) -> Result<Vec<Node>, String> {
    let mut found = Vec::new();
    for device in devices {
        let (host, inside) = (Path::new(&device.host_path), Path::new(&device.container_path));
        let access = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        if host.is_dir() {
            below(host, inside, access, &mut found);
        } else {
            let node = Node::read(host, inside, access);
            found.push(node.ok_or_else(|| format!("{:?} is not a device node", device.host_path))?);
        }
    }
    Ok(found)
}

/// All nodes of the host, for a privileged container.
pub(crate) fn all() -> Vec<Node> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if OWN.iter().any(|own| name == *own) {
            continue;
        }
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&path, &path, "rwm", &mut found),
            Ok(kind) if kind.is_symlink() => {}
            _ => found.extend(Node::read(&path, &path, "rwm")),
        }
    }
    found
}

fn below(host: &Path, inside: &Path, access: &str, found: &mut Vec<Node>) {
    for entry in fs::read_dir(host).into_iter().flatten().flatten() {
        let inside = inside.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&entry.path(), &inside, access, found),
            Ok(kind) if kind.is_symlink() => {}
            _ => found.extend(Node::read(&entry.path(), &inside, access)),
        }
    }
}
