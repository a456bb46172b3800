//! Archives of images: `docker save`, and OCI layouts in a tar file, plain or gzipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tar::{Archive, EntryType};

use super::store::{Descriptor, Manifest};
use super::unpack::decompress;
use super::{Image, ImageError, ImageStore, Reference};
use crate::disk;

/// An index within an index within … is no image.
const DEPTH_MAX: usize = 4;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The files of an archive, set aside on disk under their names.
struct Files {
    directory: PathBuf,
    by_name: BTreeMap<String, PathBuf>,
}

impl Drop for Files {
    fn drop(&mut self) {
        // It lies in the content store's partial directory, which the next start clears.
        let _ = disk::remove_all(&self.directory);
    }
}

impl ImageStore {
    /// Adds all images of an archive.
    pub fn import(&self, source: impl Read) -> Result<Vec<Image>, ImageError> {
        let _growing = self.grow();
        let files = Files::read(self.root(), source)?;
        if files.by_name.contains_key("manifest.json") {
            return self.import_saved(&files);
        }
        if files.by_name.contains_key("index.json") {
            return self.import_layout(&files);
        }
        Err(ImageError::Malformed(
            "the archive has neither manifest.json nor index.json: no image".to_string(),
        ))
    }

    fn import_saved(&self, files: &Files) -> Result<Vec<Image>, ImageError> {
        let list: Vec<SavedImage> = serde_json::from_slice(&files.get("manifest.json")?)
            .map_err(|e| ImageError::Malformed(format!("manifest.json: {e}")))?;
        let mut images = Vec::new();
        for saved in list {
            let config = files.get(&saved.config)?;
            let parsed = self.parse_config(&config)?;
            if parsed.diff_ids.len() != saved.layers.len() {
                return Err(ImageError::Malformed("as many layers as diff_ids are expected".to_string()));
            }
            let names = Self::layer_names(&parsed.diff_ids);
            let mut size = config.len() as u64;
            for (at, layer) in saved.layers.iter().enumerate() {
                let file = files.open(layer)?;
                size += file.metadata().map_or(0, |meta| meta.len());
                self.add_layer(&names[at], &parsed.diff_ids[at], &names[..at], file)?;
            }
            let mut tags = BTreeSet::new();
            for tag in saved.repo_tags.iter().flatten() {
                tags.extend(tag.parse::<Reference>()?.tagged());
            }
            let blobs = BTreeSet::from([self.content.put(&config)?]);
            images.push(self.finish(parsed, (tags, BTreeSet::new()), blobs, size)?);
        }
        Ok(images)
    }

    fn import_layout(&self, files: &Files) -> Result<Vec<Image>, ImageError> {
        let index = Manifest::parse(&files.get("index.json")?)?;
        let mut images = Vec::new();
        for entry in &index.manifests {
            let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                .iter()
                .find_map(|key| entry.annotations.get(*key))
                .and_then(|name| name.parse::<Reference>().ok());
            images.push(self.import_manifest(files, entry, name.as_ref(), 0)?);
        }
        Ok(images)
    }

    fn import_manifest(
        &self,
        files: &Files,
        entry: &Descriptor,
        name: Option<&Reference>,
        depth: usize,
    ) -> Result<Image, ImageError> {
        let bytes = files.blob(entry)?;
        let manifest = Manifest::parse(&bytes)?;
        let Some(config) = &manifest.config else {
            let inner = manifest.for_this_machine().filter(|_| depth < DEPTH_MAX);
            let inner =
                inner.ok_or_else(|| ImageError::Malformed("no image for this machine in it".to_string()))?;
            return self.import_manifest(files, inner, name, depth + 1);
        };
        let config_bytes = files.blob(config)?;
        let parsed = self.parse_config(&config_bytes)?;
        if parsed.diff_ids.len() != manifest.layers.len() {
            return Err(ImageError::Malformed("as many layers as diff_ids are expected".to_string()));
        }
        let names = Self::layer_names(&parsed.diff_ids);
        for (at, layer) in manifest.layers.iter().enumerate() {
            let file = files.open(&blob_name(&layer.digest))?;
            self.add_layer(&names[at], &parsed.diff_ids[at], &names[..at], file)?;
        }
        let size =
            bytes.len() as u64 + config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let blobs = BTreeSet::from([self.content.put(&bytes)?, self.content.put(&config_bytes)?]);
        let tags = name.and_then(Reference::tagged).into_iter().collect();
        let digests = name.map(|name| name.with_digest(&entry.digest)).into_iter().collect();
        self.finish(parsed, (tags, digests), blobs, size)
    }
}

fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

impl Files {
    fn read(root: &Path, source: impl Read) -> Result<Self, ImageError> {
        let directory = root.join("content/partial").join(format!("archive-{}", disk::new_id()));
        fs::create_dir_all(&directory).map_err(ImageError::io("create", &directory))?;
        let mut files = Self { directory, by_name: BTreeMap::new() };
        let bad = |e: std::io::Error| ImageError::Malformed(format!("archive: {e}"));
        let mut archive = Archive::new(decompress(source).map_err(bad)?);
        let mut links = Vec::new();
        for (number, entry) in archive.entries().map_err(bad)?.enumerate() {
            let mut entry = entry.map_err(bad)?;
            let name = entry.path().map_err(bad)?.to_string_lossy().trim_start_matches("./").to_string();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    // Under a number: the archive's names never become paths.
                    let path = files.directory.join(number.to_string());
                    let mut file = File::create(&path).map_err(ImageError::io("create", &path))?;
                    std::io::copy(&mut entry, &mut file).map_err(bad)?;
                    files.by_name.insert(name, path);
                }
                EntryType::Symlink | EntryType::Link => {
                    if let Some(target) = entry.link_name().map_err(bad)? {
                        links.push((name, target.to_string_lossy().into_owned()));
                    }
                }
                _ => {}
            }
        }
        // Old `docker save` writes a layer that images share once, and links to it.
        for (name, target) in links {
            let target = target.trim_start_matches("../").to_string();
            if let Some(path) = files.by_name.get(&target).cloned() {
                files.by_name.insert(name, path);
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str) -> Result<File, ImageError> {
        let path = self.by_name.get(name);
        let path = path.ok_or_else(|| ImageError::Malformed(format!("the archive has no file {name:?}")))?;
        File::open(path).map_err(ImageError::io("open", path))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        self.open(name)?.read_to_end(&mut bytes).map_err(ImageError::io("read", name))?;
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let bytes = self.get(&blob_name(&descriptor.digest))?;
        let got = super::content::digest_of(&bytes);
        if got != descriptor.digest {
            return Err(ImageError::Digest { what: "a blob", want: descriptor.digest.clone(), got });
        }
        Ok(bytes)
    }
}
