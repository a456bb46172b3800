//! Where a cluster keeps its things: durable state under the data directory, sockets and locks under `/run`.

use std::path::{Path, PathBuf};

pub(crate) const DEFAULT_DATA_DIR: &str = "/var/lib/oarlock";
const RUN_ROOT: &str = "/run/oarlock";

/// The paths of one cluster or node on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// Two clusters on one machine have two data directories, and so two run directories.
    pub(crate) fn new(data: &Path) -> Self {
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
        let run = Path::new(RUN_ROOT).join(Self::tag_of(&data));
        Self { data, run }
    }

    /// Short and the same for the same directory: names sockets (whose paths end at 108 bytes), cgroups and the like.
    fn tag_of(data: &Path) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        let hash = data
            .as_os_str()
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
        format!("{:08x}", hash as u32 ^ (hash >> 32) as u32)
    }

    pub(crate) fn tag(&self) -> String {
        Self::tag_of(&self.data)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.data.join("pki").join(file)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("store.redb")
    }

    /// Where the process that has the store open is asked about it.
    pub(crate) fn store_socket(&self) -> PathBuf {
        self.run.join("store.sock")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    pub(crate) fn kubelet(&self) -> PathBuf {
        self.data.join("kubelet")
    }

    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.data.join("pod-logs")
    }

    pub(crate) fn static_pods(&self) -> PathBuf {
        self.data.join("manifests")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.data.join("runtime")
    }

    pub(crate) fn runtime_run(&self) -> PathBuf {
        self.run.join("runtime")
    }

    pub(crate) fn runtime_socket(&self) -> PathBuf {
        self.run.join("runtime.sock")
    }

    pub(crate) fn cni_conf(&self) -> PathBuf {
        self.data.join("cni/net.d")
    }

    pub(crate) fn cni_bin(&self) -> PathBuf {
        self.data.join("cni/bin")
    }

    /// Addresses are leased to sandboxes of this boot only.
    pub(crate) fn cni_state(&self) -> PathBuf {
        self.run.join("addresses")
    }

    /// Held while a cluster or an agent runs here; its content is the process.
    pub(crate) fn lock(&self, role: &str) -> PathBuf {
        self.run.join(format!("{role}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_do_not_meet_and_sockets_have_short_paths() {
        let one = Layout::new(Path::new("/var/lib/oarlock"));
        let two = Layout::new(Path::new(&format!("/tmp/{}", "deep/".repeat(60))));
        assert_ne!(one.run(), two.run());
        assert!(two.runtime_socket().as_os_str().len() < 60);
    }
}
