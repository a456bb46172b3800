//! Who a container runs as: from numbers and names in the pod and the image, and the image's own user database.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use oarlock_cri::v1::{LinuxContainerSecurityContext, SupplementalGroupsPolicy};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// With the primary group in front, as runtimes report it.
    pub groups: Vec<u32>,
}

/// `/etc/passwd` and `/etc/group` of the image; empty when it has none.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub passwd: String,
    pub group: String,
}

impl Database {
    /// Reads them from an image's layers, the topmost first.
    pub(crate) fn of_layers(layers: &[PathBuf]) -> Self {
        Self { passwd: read(layers, "passwd"), group: read(layers, "group") }
    }

    fn user(&self, matches: impl Fn(&str, u32) -> bool) -> Option<(String, u32, u32)> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) =
                (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            matches(name, uid).then(|| (name.to_string(), uid, gid))
        })
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?.parse().ok()?, fields.next().unwrap_or_default()))
        })
    }
}

fn read(layers: &[PathBuf], file: &str) -> String {
    for layer in layers {
        let directory = layer.join("etc");
        match fs::symlink_metadata(&directory) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return String::new(),
            Err(_) => continue,
        }
        match fs::symlink_metadata(directory.join(file)) {
            Ok(meta) if meta.is_file() => {
                return fs::read_to_string(directory.join(file)).unwrap_or_default();
            }
            // A whiteout, or a link that could lead out of the layer.
            Ok(meta) if meta.file_type().is_char_device() && meta.rdev() == 0 => return String::new(),
            Ok(_) => return String::new(),
            Err(_) if is_opaque(&directory) => return String::new(),
            Err(_) => {}
        }
    }
    String::new()
}

#[expect(unsafe_code, reason = "the standard library reads no extended attributes")]
fn is_opaque(directory: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(directory.as_os_str().as_encoded_bytes()) else { return false };
    let mut value = [0_u8; 1];
    // SAFETY: both strings end in a zero and the buffer has the length that is given.
    let read = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            c"trusted.overlay.opaque".as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    read == 1 && value[0] == b'y'
}

/// Resolves who the container runs as, by containerd's order: number, name, then the image's own choice.
pub(crate) fn resolve(
    security: &LinuxContainerSecurityContext,
    image_user: &str,
    database: &Database,
) -> Result<User, String> {
    let asked = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(uid), _) => uid.value.to_string(),
        (None, "") => image_user.to_string(),
        (None, name) => name.to_string(),
    };
    let (user, group) =
        asked.split_once(':').map_or((asked.as_str(), None), |(user, group)| (user, Some(group)));
    let (name, uid, mut gid) = match (user, user.parse::<u32>()) {
        ("", _) => (None, 0, 0),
        (_, Ok(uid)) => match database.user(|_, known| known == uid) {
            Some((name, uid, gid)) => (Some(name), uid, gid),
            None => (None, uid, 0),
        },
        (wanted, Err(_)) => database
            .user(|name, _| name == wanted)
            .map(|(name, uid, gid)| (Some(name), uid, gid))
            .ok_or_else(|| format!("unable to find user {wanted}: no matching entries in passwd file"))?,
    };
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        gid = match group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                database.groups().find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid).ok_or_else(
                    || format!("unable to find group {group}: no matching entries in group file"),
                )?
            }
        };
    }
    if let Some(asked) = &security.run_as_group {
        gid = u32::try_from(asked.value).map_err(|_| format!("invalid group id {}", asked.value))?;
    }
    let mut groups = vec![gid];
    let strict = security.supplemental_groups_policy == SupplementalGroupsPolicy::Strict as i32;
    if let (Some(name), false) = (&name, strict) {
        let member =
            database.groups().filter(|(_, _, members)| members.split(',').any(|member| member == name));
        groups.extend(member.map(|(_, gid, _)| gid));
    }
    groups.extend(security.supplemental_groups.iter().filter_map(|gid| u32::try_from(*gid).ok()));
    let mut seen = std::collections::HashSet::new();
    groups.retain(|gid| seen.insert(*gid));
    Ok(User { uid, gid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_cri::v1::Int64Value;

    fn database() -> Database {
        Database {
            passwd: "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n".into(),
            group: "root:x:0:\nwww:x:34:\nadm:x:4:web,other\n".into(),
        }
    }

    #[test]
    fn users_are_resolved_as_containerd_does() {
        let number = |value| Some(Int64Value { value });
        let base = LinuxContainerSecurityContext::default;
        let cases = [
            ("nothing asked", base(), "", Ok((0, 0, vec![0]))),
            ("image by name", base(), "web", Ok((33, 34, vec![34, 4]))),
            ("image user and group", base(), "web:adm", Ok((33, 4, vec![4]))),
            ("image numbers", base(), "7:8", Ok((7, 8, vec![8]))),
            ("unknown name", base(), "no", Err("unable to find user no: no matching entries in passwd file")),
            (
                "number over image",
                LinuxContainerSecurityContext { run_as_user: number(33), ..base() },
                "root",
                Ok((33, 34, vec![34, 4])),
            ),
            (
                "group and supplements",
                LinuxContainerSecurityContext {
                    run_as_user: number(1000),
                    run_as_group: number(5),
                    supplemental_groups: vec![6, 5],
                    ..base()
                },
                "",
                Ok((1000, 5, vec![5, 6])),
            ),
            (
                "strict",
                LinuxContainerSecurityContext { supplemental_groups_policy: 1, ..base() },
                "web",
                Ok((33, 34, vec![34])),
            ),
        ];
        for (name, security, image, want) in cases {
            let got = resolve(&security, image, &database()).map(|user| (user.uid, user.gid, user.groups));
            assert_eq!(got, want.map_err(str::to_string), "{name}");
        }
    }
}
