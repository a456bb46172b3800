//! Pod cgroups: `kubepods/[burstable|besteffort]/pod<uid>` under the node's root, on v1's controllers and on v2. The kubelet
//! makes, limits and removes them; the runtime puts containers below.

mod qos;

use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use thiserror::Error;
use tracing::{debug, warn};

pub(crate) use qos::{Qos, Totals, pod_totals, qos_of, total};

use crate::pod::PodExt as _;
use crate::translate::{cpu_quota, cpu_shares};

/// What could not be done to a cgroup.
#[derive(Debug, Error)]
#[error("{what} {}", path.display())]
pub(crate) struct CgroupError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The v1 controllers in which the runtime places containers; those that are not mounted are left out.
const CONTROLLERS: [&str; 8] = ["cpu", "cpuacct", "memory", "pids", "cpuset", "devices", "freezer", "blkio"];

enum Layout {
    V1(Vec<(&'static str, PathBuf)>),
    V2(PathBuf),
}

/// The cgroups of one node.
pub(crate) struct Cgroups {
    layout: Layout,
    /// Without slashes at its ends; empty for the machine's root.
    root: String,
}

impl Cgroups {
    /// The cgroups below `root` on this machine; `None` where no hierarchy is mounted.
    pub(crate) fn open(root: &str) -> Option<Self> {
        Self::open_at(Path::new("/sys/fs/cgroup"), root)
    }

    fn open_at(mount: &Path, root: &str) -> Option<Self> {
        let root = root.trim_matches('/').to_owned();
        if mount.join("cgroup.controllers").exists() {
            return Some(Self { layout: Layout::V2(mount.to_owned()), root });
        }
        let mounted = |name: &&'static str| mount.join(name).join("cgroup.procs").exists();
        let controllers: Vec<_> = CONTROLLERS.iter().copied().filter(|name| mounted(name)).collect();
        let layout = controllers.into_iter().map(|name| (name, mount.join(name))).collect::<Vec<_>>();
        (!layout.is_empty()).then_some(Self { layout: Layout::V1(layout), root })
    }

    /// The path of a pod's cgroup, as CRI's `cgroup_parent` wants it.
    pub(crate) fn parent(&self, pod: &Pod) -> String {
        let class = match qos_of(pod) {
            Qos::Guaranteed => "",
            Qos::Burstable => "/burstable",
            Qos::BestEffort => "/besteffort",
        };
        let prefix = if self.root.is_empty() { String::new() } else { format!("/{}", self.root) };
        format!("{prefix}/kubepods{class}/pod{}", pod.uid_str())
    }

    /// Makes the pod's cgroup, with its limits, if it is not there.
    pub(crate) fn ensure_pod(&self, pod: &Pod) -> Result<(), CgroupError> {
        let path = self.parent(pod);
        let relative = path.trim_start_matches('/');
        let totals = pod_totals(pod);
        match &self.layout {
            Layout::V1(controllers) => {
                for (controller, mount) in controllers {
                    let dir = mount.join(relative);
                    if !dir.is_dir() {
                        make_v1(controller, mount, relative)?;
                        limit_v1(controller, &dir, qos_of(pod), &totals)?;
                        if *controller == "cpu" && qos_of(pod) == Qos::BestEffort {
                            // The whole class gets what is left over.
                            write(&dir.with_file_name("cpu.shares"), "2")?;
                        }
                    }
                }
            }
            Layout::V2(mount) => {
                let dir = mount.join(relative);
                if !dir.is_dir() {
                    make_v2(mount, relative)?;
                    limit_v2(&dir, qos_of(pod), &totals)?;
                    let class_weight = dir.with_file_name("cpu.weight");
                    if qos_of(pod) == Qos::BestEffort && class_weight.exists() {
                        write(&class_weight, "1")?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the pod's cgroup and what is below it. What is still in use is left for the next time.
    pub(crate) async fn remove_pod(&self, pod: &Pod) {
        let path = self.parent(pod);
        let mounts: Vec<&Path> = match &self.layout {
            Layout::V1(controllers) => controllers.iter().map(|(_, mount)| mount.as_path()).collect(),
            Layout::V2(mount) => vec![mount],
        };
        // Of an orphan the class is not known: it is looked for in each.
        let kubepods = Path::new(&self.root).join("kubepods");
        let classes = ["", "burstable", "besteffort"].map(|class| kubepods.join(class));
        let name = format!("pod{}", pod.uid_str());
        let dirs: Vec<PathBuf> = mounts
            .into_iter()
            .flat_map(|mount| classes.iter().map(|class| mount.join(class).join(&name)))
            .collect();
        let removed = tokio::task::spawn_blocking(move || dirs.iter().for_each(|dir| remove_tree(dir))).await;
        if removed.is_err() {
            warn!(path, "cgroup removal panicked");
        }
    }
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    std::fs::write(path, value).map_err(|source| CgroupError { what: "write", path: path.to_owned(), source })
}

fn make_dir(path: &Path) -> Result<(), CgroupError> {
    std::fs::create_dir_all(path).map_err(|source| CgroupError {
        what: "create",
        path: path.to_owned(),
        source,
    })
}

fn make_v1(controller: &str, mount: &Path, relative: &str) -> Result<(), CgroupError> {
    if controller != "cpuset" {
        return make_dir(&mount.join(relative));
    }
    // A cpuset is unusable until it has CPUs and memory nodes: each level takes its parent's.
    let mut dir = mount.to_owned();
    for part in Path::new(relative) {
        let parent = dir.clone();
        dir.push(part);
        make_dir(&dir)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
            if own.trim().is_empty() {
                let above = std::fs::read_to_string(parent.join(file)).unwrap_or_default();
                write(&dir.join(file), above.trim())?;
            }
        }
    }
    Ok(())
}

fn limit_v1(controller: &str, dir: &Path, qos: Qos, totals: &Totals) -> Result<(), CgroupError> {
    match controller {
        "cpu" => {
            let shares = if qos == Qos::BestEffort { 2 } else { cpu_shares(totals.cpu_request_milli) };
            write(&dir.join("cpu.shares"), &shares.to_string())?;
            if let Some(milli) = totals.cpu_limit_milli {
                write(&dir.join("cpu.cfs_period_us"), "100000")?;
                write(&dir.join("cpu.cfs_quota_us"), &cpu_quota(milli).to_string())?;
            }
        }
        "memory" => {
            if let Some(bytes) = totals.memory_limit {
                write(&dir.join("memory.limit_in_bytes"), &bytes.to_string())?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn make_v2(mount: &Path, relative: &str) -> Result<(), CgroupError> {
    let mut dir = mount.to_owned();
    for part in Path::new(relative) {
        // A child has the controllers that its parent hands down.
        for controller in ["cpu", "memory", "pids", "io", "cpuset"] {
            let handed = std::fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
            if let Err(error) = handed {
                debug!(path = %dir.display(), controller, %error, "controller not handed down");
            }
        }
        dir.push(part);
        make_dir(&dir)?;
    }
    Ok(())
}

fn limit_v2(dir: &Path, qos: Qos, totals: &Totals) -> Result<(), CgroupError> {
    let shares = if qos == Qos::BestEffort { 2 } else { cpu_shares(totals.cpu_request_milli) };
    // The usual map of v1's 2..262144 to v2's 1..10000.
    let weight = 1 + (shares - 2) * 9999 / 262_142;
    let optional = |file: &str, value: String| {
        let path = dir.join(file);
        if path.exists() { write(&path, &value) } else { Ok(()) }
    };
    optional("cpu.weight", weight.to_string())?;
    if let Some(milli) = totals.cpu_limit_milli {
        optional("cpu.max", format!("{} 100000", cpu_quota(milli)))?;
    }
    if let Some(bytes) = totals.memory_limit {
        optional("memory.max", bytes.to_string())?;
    }
    Ok(())
}

/// Removes a cgroup and its children; a cgroup goes by rmdir, its files go with it.
fn remove_tree(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = std::fs::remove_dir(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        debug!(path = %dir.display(), %error, "cgroup not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_cgroup_is_made_and_limited() {
        let mount = tempfile::tempdir().expect("a directory");
        for controller in ["cpu", "memory"] {
            let dir = mount.path().join(controller);
            std::fs::create_dir_all(&dir).expect("a controller");
            std::fs::write(dir.join("cgroup.procs"), "").expect("a hierarchy");
        }
        let cgroups = Cgroups::open_at(mount.path(), "/oarlock/").expect("two controllers");
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "p", "uid": "u1" },
            "spec": { "containers": [{ "name": "a", "image": "i", "resources": {
                "requests": { "cpu": "100m" }, "limits": { "cpu": "500m", "memory": "32Mi" } } }] },
        }))
        .expect("a pod");
        cgroups.ensure_pod(&pod).expect("made");
        let read = |path: &str| std::fs::read_to_string(mount.path().join(path)).expect(path);
        assert_eq!(cgroups.parent(&pod), "/oarlock/kubepods/burstable/podu1");
        assert_eq!(read("cpu/oarlock/kubepods/burstable/podu1/cpu.shares"), "102");
        assert_eq!(read("cpu/oarlock/kubepods/burstable/podu1/cpu.cfs_quota_us"), "50000");
        assert_eq!(read("memory/oarlock/kubepods/burstable/podu1/memory.limit_in_bytes"), "33554432");
    }
}
