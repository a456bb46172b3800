//! The running executable as an image: one layer that holds it, made without a registry.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::content::digest_of;
use super::{Image, ImageError, ImageStore};
use crate::disk;
use crate::oci::ImageConfig;

/// The repository of the built-in image.
const REPOSITORY: &str = "oarlock.local/oarlock";
/// Who it runs as: nobody in particular, as distroless images do. Ports below 1024 are open to all in a pod.
const USER: u32 = 65532;

impl ImageStore {
    /// Presents the running executable as `oarlock.local/oarlock:<version>`, with `/oarlock` as its entrypoint.
    pub(crate) fn add_builtin(&self, version: &str) -> Result<Image, ImageError> {
        let executable = Path::new("/proc/self/exe");
        let meta = fs::metadata(executable).map_err(ImageError::io("look at", executable))?;
        // The identity of the file, not of its content: hashing it would cost more than the rest of the start.
        let identity = format!("{version} {} {} {}", meta.size(), meta.mtime(), meta.mtime_nsec());
        let diff_id = digest_of(identity.as_bytes());
        let _growing = self.grow();
        let layers = Self::layer_names(std::slice::from_ref(&diff_id));
        if !self.has_layer(&layers[0]) {
            self.make_layer(&layers[0], executable)?;
        }
        let config = ImageConfig {
            user: format!("{USER}:{USER}"),
            entrypoint: vec!["/oarlock".to_string()],
            working_dir: "/".to_string(),
            ..ImageConfig::default()
        };
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let file = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let bytes = serde_json::to_vec(&file).expect("plain data");
        let id = self.content.put(&bytes)?;
        let tag = format!("{REPOSITORY}:{version}");
        self.forget_older(&id);
        self.add(Image {
            blobs: BTreeSet::from([id.clone()]),
            tags: BTreeSet::from([tag]),
            digests: BTreeSet::from([format!("{REPOSITORY}@{id}")]),
            id,
            size: meta.size(),
            layers,
            config,
            pinned: true,
        })
    }

    fn make_layer(&self, name: &str, executable: &Path) -> Result<(), ImageError> {
        let temporary = self.layers_dir().join(format!("tmp-{}", disk::new_id()));
        let failed = |source| ImageError::Unpack { layer: REPOSITORY.to_string(), source };
        fs::create_dir_all(temporary.join("etc")).map_err(failed)?;
        for (directory, mode) in [("", 0o755), ("etc", 0o755), ("tmp", 0o1777)] {
            let path = temporary.join(directory);
            fs::create_dir_all(&path).map_err(failed)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        let passwd =
            format!("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n");
        fs::write(temporary.join("etc/passwd"), passwd).map_err(failed)?;
        fs::write(temporary.join("etc/group"), format!("root:x:0:\nnonroot:x:{USER}:\n")).map_err(failed)?;
        let target = temporary.join("oarlock");
        // A link shares the page cache with the agent and its shims: a pod of this image costs no text of its own.
        if link(executable, &target).is_err() {
            fs::copy(executable, &target).map_err(failed)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        fs::rename(&temporary, self.layers_dir().join(name)).map_err(failed)
    }

    /// Earlier builds of the same version lose their names; the layers go when no container uses them.
    fn forget_older(&self, current: &str) {
        let old = self.list().into_iter().filter(|image| image.pinned && image.id != current);
        for image in old {
            self.drop_record(&image.id);
        }
    }
}

/// Links the file that is running, even when its name now leads to another one.
fn link(from: &Path, to: &Path) -> nix::Result<()> {
    use nix::fcntl::{AT_FDCWD, AtFlags};
    nix::unistd::linkat(AT_FDCWD, from, AT_FDCWD, to, AtFlags::AT_SYMLINK_FOLLOW)
}
