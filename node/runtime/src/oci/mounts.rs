//! A container's mounts: the file systems that every Linux program expects, then the pod's, ordered by depth.

use oarlock_cri::v1::{Mount, MountPropagation};
use serde_json::{Value, json};

/// What of the pod and the container decides about the standard mounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Basics<'a> {
    pub privileged: bool,
    /// The pod's directory for /dev/shm; the host's with the host's IPC.
    pub shm: &'a str,
    pub resolv_conf: Option<&'a str>,
    pub hostname: Option<&'a str>,
    pub unified_cgroups: bool,
}

fn filesystem(kind: &str, source: &str, destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn bind(source: &str, destination: &str, options: &[&str]) -> Value {
    filesystem("bind", source, destination, options)
}

/// All mounts, in the order in which they are to be made.
pub(crate) fn all(basics: &Basics<'_>, asked: &[Mount]) -> Result<Vec<Value>, String> {
    let system = if basics.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        filesystem("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        filesystem("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        filesystem(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        filesystem("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        filesystem("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", system]),
        filesystem("cgroup", "cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", system]),
    ];
    let mut own: Vec<(usize, Value)> = Vec::new();
    let taken = |path: &str| asked.iter().any(|mount| mount.container_path.trim_end_matches('/') == path);
    for (source, path) in [(basics.resolv_conf, "/etc/resolv.conf"), (basics.hostname, "/etc/hostname")] {
        if let (Some(source), false) = (source, taken(path)) {
            own.push((depth(path), bind(source, path, &["rbind", "rprivate", "rw"])));
        }
    }
    if !taken("/dev/shm") {
        own.push((depth("/dev/shm"), bind(basics.shm, "/dev/shm", &["rbind", "rprivate", "rw"])));
    }
    for mount in asked {
        own.push((depth(&mount.container_path), of_pod(mount)?));
    }
    // Stable: mounts of one depth stay in the pod's order.
    own.sort_by_key(|(depth, _)| *depth);
    mounts.extend(own.into_iter().map(|(_, mount)| mount));
    Ok(mounts)
}

fn of_pod(mount: &Mount) -> Result<Value, String> {
    if mount.recursive_read_only && (!mount.readonly || mount.propagation != 0) {
        return Err("recursive read-only mount needs a read-only mount without propagation".to_string());
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err("id-mapped mounts are not supported".to_string());
    }
    let propagation = match MountPropagation::try_from(mount.propagation) {
        Ok(MountPropagation::PropagationHostToContainer) => "rslave",
        Ok(MountPropagation::PropagationBidirectional) => "rshared",
        _ => "rprivate",
    };
    let mut options = vec!["rbind", propagation];
    options.push(if mount.readonly { "ro" } else { "rw" });
    if mount.recursive_read_only {
        options.push("rro");
    }
    Ok(bind(&mount.host_path, &mount.container_path, &options))
}

/// The propagation that the container's root must have for its mounts to reach the host.
pub(crate) fn root_propagation(asked: &[Mount]) -> Option<&'static str> {
    let shared = |mount: &Mount| mount.propagation == MountPropagation::PropagationBidirectional as i32;
    asked.iter().any(shared).then_some("shared")
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str) -> Mount {
        Mount { container_path: path.into(), host_path: "/h".into(), ..Mount::default() }
    }

    fn destinations(asked: &[Mount]) -> Vec<String> {
        let basics = Basics { shm: "/shm", resolv_conf: Some("/r"), ..Basics::default() };
        let mounts = all(&basics, asked).expect("valid");
        mounts[6..].iter().map(|mount| mount["destination"].as_str().expect("text").to_string()).collect()
    }

    #[test]
    fn the_shallow_come_first_and_the_pods_own_win() {
        assert_eq!(
            destinations(&[mount("/a/b/c"), mount("/data"), mount("/etc/resolv.conf")]),
            ["/data", "/dev/shm", "/etc/resolv.conf", "/a/b/c"]
        );
        assert_eq!(destinations(&[]), ["/etc/resolv.conf", "/dev/shm"]);
    }

    #[test]
    fn options_say_what_the_pod_asks() {
        for (asked, want) in [
            (mount("/a"), Ok(json!(["rbind", "rprivate", "rw"]))),
            (Mount { readonly: true, propagation: 1, ..mount("/a") }, Ok(json!(["rbind", "rslave", "ro"]))),
            (
                Mount { readonly: true, recursive_read_only: true, ..mount("/a") },
                Ok(json!(["rbind", "rprivate", "ro", "rro"])),
            ),
            (Mount { recursive_read_only: true, ..mount("/a") }, Err(())),
        ] {
            assert_eq!(of_pod(&asked).map(|mount| mount["options"].clone()).map_err(drop), want, "{asked:?}");
        }
    }
}
