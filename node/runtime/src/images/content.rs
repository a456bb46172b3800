//! Blobs by digest. A blob is on disk whole and verified, or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::ImageError;

pub(crate) struct Content {
    blobs: PathBuf,
    partial: PathBuf,
}

/// A blob being written; gone unless committed.
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    size: u64,
    blobs: PathBuf,
    committed: bool,
}

impl Content {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let (blobs, partial) = (root.join("content/sha256"), root.join("content/partial"));
        // What a killed process left behind.
        crate::disk::remove_all(&partial)?;
        fs::create_dir_all(&blobs)?;
        fs::create_dir_all(&partial)?;
        Ok(Self { blobs, partial })
    }

    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.blobs.join(digest.trim_start_matches("sha256:"))
    }

    pub(crate) fn has(&self, digest: &str) -> bool {
        self.path(digest).exists()
    }

    pub(crate) fn read(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let path = self.path(digest);
        fs::read(&path).map_err(ImageError::io("read", path))
    }

    pub(crate) fn writer(&self) -> Result<Writer, ImageError> {
        let path = self.partial.join(crate::disk::new_id());
        let file = File::create(&path).map_err(ImageError::io("create", &path))?;
        Ok(Writer { file, path, hasher: Sha256::new(), size: 0, blobs: self.blobs.clone(), committed: false })
    }

    /// Stores bytes; gives their digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<String, ImageError> {
        let digest = digest_of(bytes);
        if !self.has(&digest) {
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(ImageError::io("write", &writer.path))?;
            writer.commit(None)?;
        }
        Ok(digest)
    }

    /// Removes all blobs but those that `keep` names.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.blobs).into_iter().flatten().flatten() {
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            if !keep(&digest) {
                // A blob that stays is met again by the next collection.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Writer {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the blob durable under its digest, which must be `want` if that is given. Gives digest and size.
    pub(crate) fn commit(mut self, want: Option<&str>) -> Result<(String, u64), ImageError> {
        let got = format!("sha256:{}", hex::encode(std::mem::take(&mut self.hasher).finalize()));
        if let Some(want) = want.filter(|want| *want != got) {
            return Err(ImageError::Digest { what: "a blob", want: want.to_string(), got });
        }
        self.file.sync_all().map_err(ImageError::io("sync", &self.path))?;
        let target = self.blobs.join(got.trim_start_matches("sha256:"));
        fs::rename(&self.path, &target).map_err(ImageError::io("rename", &target))?;
        self.committed = true;
        Ok((got, self.size))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.committed {
            // The next start clears the directory in any case.
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Hashes what passes through.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The digest of all that was read.
    pub(crate) fn digest(self) -> String {
        format!("sha256:{}", hex::encode(self.hasher.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
