//! The store: which images there are, their layers on disk, and what nobody needs any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::content::{Content, Hashing, digest_of};
use super::reference::is_hex64;
use super::unpack::{decompress, sync, unpack};
use super::{ImageError, Reference};
use crate::disk;
use crate::oci::ImageConfig;

/// One image, as the runtime and its users see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of its configuration, `sha256:…`.
    pub id: String,
    /// Whole references with a tag.
    pub tags: BTreeSet<String>,
    /// Whole references with a manifest's digest.
    pub digests: BTreeSet<String>,
    /// Blobs that belong to it.
    pub(crate) blobs: BTreeSet<String>,
    /// Bytes as a registry counts them.
    pub size: u64,
    /// Names in the directory of layers, the lowest first.
    pub(crate) layers: Vec<String>,
    pub(crate) config: ImageConfig,
    /// Never collected: the built-in image.
    pub pinned: bool,
}

/// The images of one node. One process at a time opens it.
pub struct ImageStore {
    root: PathBuf,
    layers: PathBuf,
    pub(super) content: Content,
    images: Mutex<BTreeMap<String, Image>>,
    /// How many hold layers and blobs that no image or container names yet; a collection needs none.
    growing: Arc<Mutex<usize>>,
    _lock: nix::fcntl::Flock<File>,
}

/// See [`ImageStore::grow`].
pub(crate) struct Growing(Arc<Mutex<usize>>);

impl Drop for Growing {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
    }
}

/// What an OCI or Docker image configuration says that the store needs.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<ImageConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// A configuration that was checked.
pub(super) struct Parsed {
    pub id: String,
    pub diff_ids: Vec<String>,
    config: ImageConfig,
}

/// A descriptor in a manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// A manifest or an index of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Descriptor>,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| ImageError::Malformed(format!("manifest: {e}")))?;
        if manifest.schema_version != 2 {
            let version = manifest.schema_version;
            return Err(ImageError::Malformed(format!("manifest schema {version} is not supported")));
        }
        Ok(manifest)
    }

    /// The entry of an index for this machine.
    pub(super) fn for_this_machine(&self) -> Option<&Descriptor> {
        let (architecture, variants): (_, &[&str]) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", &["", "v1"]),
            "aarch64" => ("arm64", &["v8", ""]),
            other => (other, &[""]),
        };
        let fits = |platform: &Platform, variant: &str| {
            platform.os == "linux" && platform.architecture == architecture && platform.variant == variant
        };
        let of = |variant: &&str| {
            self.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(|p| fits(p, variant)))
        };
        // An index of one image without platforms is how tools write a layout.
        variants.iter().find_map(of).or_else(|| match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            _ => None,
        })
    }
}

impl ImageStore {
    /// Opens the store, empty if it is new.
    ///
    /// # Errors
    /// [`ImageError::Locked`] while another process has it open.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        let layers = root.join("layers");
        fs::create_dir_all(&layers).map_err(ImageError::io("create", &layers))?;
        let path = root.join("lock");
        let file = File::create(&path).map_err(ImageError::io("create", &path))?;
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
            .map_err(|_| ImageError::Locked(root.to_owned()))?;
        let content = Content::open(root).map_err(ImageError::io("open", root))?;
        let index = root.join("images.json");
        let images = disk::read_json(&index).map_err(ImageError::io("read", &index))?.unwrap_or_default();
        for entry in fs::read_dir(&layers).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("tmp-") {
                disk::remove_all(&entry.path()).map_err(ImageError::io("remove", entry.path()))?;
            }
        }
        Ok(Self {
            root: root.to_owned(),
            layers,
            content,
            images: Mutex::new(images),
            growing: Arc::default(),
            _lock: lock,
        })
    }

    /// All images.
    pub fn list(&self) -> Vec<Image> {
        self.images.lock().values().cloned().collect()
    }

    /// Finds an image by id, a unique beginning of it, or a reference.
    pub fn find(&self, name: &str) -> Option<Image> {
        let images = self.images.lock();
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if is_hex64(hex) {
            return images.get(&format!("sha256:{hex}")).cloned();
        }
        if let Ok(reference) = name.parse::<Reference>() {
            let found = images.values().find(|image| match &reference.digest {
                Some(digest) => image.digests.contains(&reference.with_digest(digest)),
                None => reference.tagged().is_some_and(|tag| image.tags.contains(&tag)),
            });
            if found.is_some() {
                return found.cloned();
            }
        }
        let is_short = hex.len() >= 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let mut matching = images.values().filter(|image| is_short && image.id[7..].starts_with(hex));
        match (matching.next(), matching.next()) {
            (Some(image), None) => Some(image.clone()),
            _ => None,
        }
    }

    /// Removes what `name` names: one tag of several, or the image with all its names. Layers that `in_use` names stay.
    pub fn remove(&self, name: &str, in_use: &HashSet<String>) -> Result<(), ImageError> {
        let image = self.find(name).ok_or_else(|| ImageError::NotFound(name.to_string()))?;
        {
            let mut images = self.images.lock();
            let tag = name.parse::<Reference>().ok().and_then(|reference| reference.tagged());
            match images.get_mut(&image.id) {
                Some(known)
                    if tag.as_ref().is_some_and(|tag| known.tags.contains(tag)) && known.tags.len() > 1 =>
                {
                    known.tags.retain(|known| Some(known) != tag.as_ref());
                }
                _ => drop(images.remove(&image.id)),
            }
            self.save(&images)?;
        }
        info!(image = image.id, name, "image removed");
        self.collect(in_use);
        Ok(())
    }

    /// Removes layers and blobs that no image names and no container uses. Does nothing while images arrive; the
    /// next call makes up for it.
    pub fn collect(&self, in_use: &HashSet<String>) {
        let mut doomed = Vec::new();
        {
            let growing = self.growing.lock();
            if *growing > 0 {
                return;
            }
            let images = self.images.lock();
            let layers: HashSet<&String> = images.values().flat_map(|image| &image.layers).collect();
            for entry in fs::read_dir(&self.layers).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if layers.contains(&name) || in_use.contains(&name) {
                    continue;
                }
                // Renamed here, removed below: nobody waits for a big layer to go.
                let path = self.layers.join(format!("tmp-{}", disk::new_id()));
                if fs::rename(entry.path(), &path).is_ok() {
                    doomed.push(path);
                }
            }
            let blobs: HashSet<&String> = images.values().flat_map(|image| &image.blobs).collect();
            self.content.retain(|digest| blobs.contains(&digest.to_string()));
        }
        for path in doomed {
            // The next start removes what stays.
            let _ = disk::remove_all(&path);
        }
    }

    /// The raw configuration of an image, if it has one.
    pub(crate) fn config_text(&self, image: &Image) -> Option<String> {
        String::from_utf8(self.content.read(&image.id).ok()?).ok()
    }

    /// Directories of an image's layers, the topmost first.
    pub(crate) fn layer_paths(&self, image: &Image) -> Vec<PathBuf> {
        image.layers.iter().rev().map(|layer| self.layers.join(layer)).collect()
    }

    /// The directory in which layers lie by name.
    pub(crate) fn layers_dir(&self) -> &Path {
        &self.layers
    }

    /// Where it all lies.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps layers and blobs from being collected as long as it lives.
    pub(crate) fn grow(&self) -> Growing {
        *self.growing.lock() += 1;
        Growing(self.growing.clone())
    }

    fn save(&self, images: &BTreeMap<String, Image>) -> Result<(), ImageError> {
        let path = self.root.join("images.json");
        disk::write_json(&path, images, true).map_err(ImageError::io("write", path))
    }

    /// Adds an image, or further names to one that is there. A tag moves from the image that had it.
    pub(super) fn add(&self, image: Image) -> Result<Image, ImageError> {
        let mut images = self.images.lock();
        for (id, other) in images.iter_mut() {
            if *id != image.id {
                other.tags.retain(|tag| !image.tags.contains(tag));
            }
        }
        let entry = images.entry(image.id.clone()).or_insert_with(|| image.clone());
        entry.tags.extend(image.tags);
        entry.digests.extend(image.digests);
        entry.blobs.extend(image.blobs);
        entry.layers = image.layers;
        entry.pinned = image.pinned;
        let added = entry.clone();
        self.save(&images)?;
        info!(image = added.id, tags = ?added.tags, "image present");
        Ok(added)
    }

    /// Takes an image off the list without collecting anything.
    pub(super) fn drop_record(&self, id: &str) {
        self.images.lock().remove(id);
    }

    /// Checks a configuration: it must be for this system.
    pub(super) fn parse_config(&self, bytes: &[u8]) -> Result<Parsed, ImageError> {
        let file: ConfigFile = serde_json::from_slice(bytes)
            .map_err(|e| ImageError::Malformed(format!("image configuration: {e}")))?;
        if !file.os.is_empty() && file.os != "linux" {
            return Err(ImageError::Malformed(format!("the image is for {}/{}", file.os, file.architecture)));
        }
        Ok(Parsed {
            id: digest_of(bytes),
            diff_ids: file.rootfs.diff_ids,
            config: file.config.unwrap_or_default(),
        })
    }

    /// Names in the directory of layers, the lowest first: the beginning of each chain id (OCI image specification).
    pub(super) fn layer_names(diff_ids: &[String]) -> Vec<String> {
        let mut chain = String::new();
        let mut names = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            chain = if chain.is_empty() {
                diff_id.clone()
            } else {
                digest_of(format!("{chain} {diff_id}").as_bytes())
            };
            // Short, for the kernel takes a page of mount options; 64 bits do not collide by chance.
            names.push(chain.trim_start_matches("sha256:").chars().take(16).collect());
        }
        names
    }

    pub(super) fn has_layer(&self, name: &str) -> bool {
        self.layers.join(name).exists()
    }

    /// Unpacks one layer unless it is there. `below` are the names of the layers below it, the lowest first.
    pub(super) fn add_layer(
        &self,
        name: &str,
        diff_id: &str,
        below: &[String],
        source: impl Read,
    ) -> Result<(), ImageError> {
        if self.has_layer(name) {
            return Ok(());
        }
        let failed = |source| ImageError::Unpack { layer: diff_id.to_string(), source };
        let temporary = self.layers.join(format!("tmp-{}", disk::new_id()));
        let lower: Vec<PathBuf> = below.iter().rev().map(|name| self.layers.join(name)).collect();
        let result = (|| {
            fs::create_dir(&temporary).map_err(failed)?;
            let mut hashing = Hashing::new(decompress(source).map_err(failed)?);
            unpack(&mut hashing, &temporary, &lower).map_err(failed)?;
            // The archive may end before the stream does; the digest is of the whole stream.
            std::io::copy(&mut hashing, &mut std::io::sink()).map_err(failed)?;
            let got = hashing.digest();
            if got != diff_id {
                return Err(ImageError::Digest { what: "a layer", want: diff_id.to_string(), got });
            }
            sync(&temporary).map_err(failed)?;
            match fs::rename(&temporary, self.layers.join(name)) {
                // Another pull was quicker with the same layer.
                Err(_) if self.has_layer(name) => Ok(()),
                other => other.map_err(failed),
            }
        })();
        if temporary.exists() {
            // The next start clears it in any case.
            let _ = disk::remove_all(&temporary);
        }
        result
    }

    /// Completes an image of which all layers are there.
    pub(super) fn finish(
        &self,
        parsed: Parsed,
        names: (BTreeSet<String>, BTreeSet<String>),
        blobs: BTreeSet<String>,
        size: u64,
    ) -> Result<Image, ImageError> {
        let layers = Self::layer_names(&parsed.diff_ids);
        let (tags, digests) = names;
        self.add(Image {
            id: parsed.id,
            tags,
            digests,
            blobs,
            size,
            layers,
            config: parsed.config,
            pinned: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_follow_the_specification() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let names = ImageStore::layer_names(&[a.clone(), b.clone()]);
        assert_eq!(names[0], "a".repeat(16));
        assert_eq!(names[1], digest_of(format!("{a} {b}").as_bytes())[7..23]);
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = ImageStore::open(directory.path()).expect("new");
        assert!(matches!(ImageStore::open(directory.path()), Err(ImageError::Locked(_))));
        drop(store);
        ImageStore::open(directory.path()).expect("free again");
    }
}
