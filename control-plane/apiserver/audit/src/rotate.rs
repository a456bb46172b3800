//! A file that is begun anew when it is full, and of whose old ones only some are kept.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

/// `2006-01-02T15-04-05.000`
const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const DAY: Duration = Duration::from_secs(24 * 3600);
const MEGABYTE: u64 = 1 << 20;

/// When a file is full, and what becomes of old ones. (`--audit-log-max*`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Megabytes; 0 is 100.
    pub max_size: u64,
    /// Days that old files are kept; 0 is for ever.
    pub max_age: u32,
    /// Old files that are kept; 0 is all.
    pub max_backups: usize,
    /// Old files are compressed with gzip.
    pub compress: bool,
}

pub(crate) struct Rotating {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl Rotating {
    pub(crate) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.into(), rotation, file, size })
    }

    fn limit(&self) -> u64 {
        if self.rotation.max_size == 0 {
            100 * MEGABYTE
        } else {
            self.rotation.max_size.saturating_mul(MEGABYTE)
        }
    }

    /// Writes whole lines; they stay in one file.
    pub(crate) fn write(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        let length = lines.len() as u64;
        if length > self.limit() {
            let limit = self.limit();
            return Err(io::Error::other(format!("write length {length} exceeds maximum file size {limit}")));
        }
        if self.size + length > self.limit() {
            self.rotate(now)?;
        }
        self.file.write_all(lines)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let old = self.backup(now);
        std::fs::rename(&self.path, &old)?;
        self.file = append(&self.path)?;
        self.size = 0;
        if self.rotation.compress {
            compress(&old)?;
        }
        self.clean(now)
    }

    fn parts(&self) -> (OsString, OsString) {
        let stem = self.path.file_stem().unwrap_or_default().to_os_string();
        let extension = self.path.extension().map_or_else(OsString::new, |extension| {
            let mut dotted = OsString::from(".");
            dotted.push(extension);
            dotted
        });
        (stem, extension)
    }

    fn backup(&self, now: Timestamp) -> PathBuf {
        let (mut name, extension) = self.parts();
        name.push(format!("-{}", now.strftime(STAMP)));
        name.push(extension);
        self.path.with_file_name(name)
    }

    /// Removes what is too old or too many.
    fn clean(&self, now: Timestamp) -> io::Result<()> {
        let (stem, extension) = self.parts();
        let (stem, extension) = (stem.to_string_lossy(), extension.to_string_lossy());
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut old: Vec<(Timestamp, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let stamp = name.strip_prefix(&*stem).and_then(|rest| rest.strip_prefix('-'));
            let Some(stamp) = stamp.and_then(|rest| rest.strip_suffix(&*extension)) else { continue };
            if let Ok(time) = jiff::civil::DateTime::strptime(STAMP, stamp)
                && let Ok(time) = time.to_zoned(jiff::tz::TimeZone::UTC)
            {
                old.push((time.timestamp(), path));
            }
        }
        old.sort_by(|a, b| b.cmp(a));
        let kept = if self.rotation.max_backups == 0 { old.len() } else { self.rotation.max_backups };
        let oldest = DAY.saturating_mul(self.rotation.max_age);
        for (place, (time, path)) in old.into_iter().enumerate() {
            let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
            if place >= kept || (self.rotation.max_age > 0 && age > oldest) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn compress(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_os_string();
    packed.push(".gz");
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&packed)?;
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(minute: u32) -> Timestamp {
        format!("2026-01-02T03:{minute:02}:05.678Z").parse().expect("a time")
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_begun_anew_and_old_ones_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sub").join("audit.log");
        let rotation = Rotation { max_size: 1, max_backups: 2, ..Rotation::default() };
        let mut log = Rotating::open(&path, rotation).expect("open");
        let line = vec![b'x'; 700 << 10];
        for minute in 0..5 {
            log.write(&line, at(minute)).expect("write");
        }
        let sub = directory.path().join("sub");
        assert_eq!(
            names(&sub),
            ["audit-2026-01-02T03-03-05.678.log", "audit-2026-01-02T03-04-05.678.log", "audit.log"]
        );
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(log.write(&vec![0; 2 << 20], at(6)).is_err(), "nothing larger than a file");
        drop(log);
        let mut again = Rotating::open(&path, rotation).expect("open");
        again.write(b"more\n", at(7)).expect("write");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), (700 << 10) + 5, "it goes on");
    }

    #[test]
    fn old_files_are_packed_and_end_with_their_age() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        std::fs::write(directory.path().join("audit-2025-12-01T00-00-00.000.log.gz"), "old").expect("write");
        std::fs::write(directory.path().join("audit-notes.log"), "not ours").expect("write");
        let rotation = Rotation { max_size: 1, max_age: 7, compress: true, ..Rotation::default() };
        let mut log = Rotating::open(&path, rotation).expect("open");
        log.write(&vec![b'x'; 700 << 10], at(0)).expect("write");
        log.write(&vec![b'y'; 700 << 10], at(1)).expect("write");
        assert_eq!(
            names(directory.path()),
            ["audit-2026-01-02T03-01-05.678.log.gz", "audit-notes.log", "audit.log"]
        );
        let packed =
            File::open(directory.path().join("audit-2026-01-02T03-01-05.678.log.gz")).expect("there");
        let mut text = Vec::new();
        io::copy(&mut flate2::read::GzDecoder::new(packed), &mut text).expect("it unpacks");
        assert_eq!(text, vec![b'x'; 700 << 10]);
    }
}
