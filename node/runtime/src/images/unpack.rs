//! Unpacks a layer into a directory that overlayfs can use as a lower one. The archive comes from strangers: no entry
//! may touch anything outside the directory, whatever names and links it is made of.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tar::{Archive, Entry, EntryType};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// As many as the kernel follows before it gives up.
const LINKS_MAX: usize = 40;

/// Gives the decompressed stream, whichever way it is compressed.
pub(crate) fn decompress<'a>(mut source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = [0; 4];
    let mut have = 0;
    while have < magic.len() {
        match source.read(&mut magic[have..])? {
            0 => break,
            count => have += count,
        }
    }
    let whole = io::Cursor::new(magic[..have].to_vec()).chain(source);
    match magic {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::read::MultiGzDecoder::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "zstd compression is not supported"))
        }
        _ => Ok(Box::new(whole)),
    }
}

/// Unpacks `source` into the empty directory `root`. `lower` are the layers below, the nearest first.
pub(crate) fn unpack(source: impl Read, root: &Path, lower: &[PathBuf]) -> io::Result<()> {
    let layer = Layer { root, lower };
    let mut archive = Archive::new(source);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        layer
            .entry(&mut entry, &name, &mut directories)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", name.display())))?;
    }
    // Last: every file made in a directory has changed its time.
    for (path, seconds) in directories {
        set_time(&path, seconds)?;
    }
    Ok(())
}

struct Layer<'a> {
    root: &'a Path,
    lower: &'a [PathBuf],
}

impl Layer<'_> {
    fn entry<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        name: &Path,
        directories: &mut Vec<(PathBuf, i64)>,
    ) -> io::Result<()> {
        let inner = normalise(name)?;
        let (parent, file_name) = match (inner.parent(), inner.file_name()) {
            (Some(parent), Some(file_name)) => (self.directory(parent)?, file_name),
            // The root itself: only its mode and owner matter.
            _ => return self.metadata(entry, self.root, directories),
        };
        if file_name == OPAQUE {
            return set_xattr(&parent, "trusted.overlay.opaque", b"y");
        }
        if let Some(hidden) = file_name.as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            let hidden = OsStr::from_bytes(hidden);
            if hidden.is_empty() || hidden == "." || hidden == ".." {
                return Err(invalid("an invalid whiteout"));
            }
            let path = parent.join(hidden);
            crate::disk::remove_all(&path)?;
            return Ok(mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?);
        }
        let path = parent.join(file_name);
        self.make_way(&path, entry.header().entry_type())?;
        if self.create(entry, &path)? { self.metadata(entry, &path, directories) } else { Ok(()) }
    }

    /// Makes the file itself; false when its metadata belongs to another name.
    fn create<R: Read>(&self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<bool> {
        let header = entry.header();
        let device = || -> io::Result<_> {
            let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
            Ok(makedev(major.into(), minor.into()))
        };
        match header.entry_type() {
            EntryType::Directory => match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            },
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target"))?;
                std::os::unix::fs::symlink(target, path)?;
            }
            EntryType::Link => {
                let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target"))?;
                self.hard_link(&target, path)?;
                return Ok(false);
            }
            EntryType::Char => mknod(path, SFlag::S_IFCHR, Mode::empty(), device()?)?,
            EntryType::Block => mknod(path, SFlag::S_IFBLK, Mode::empty(), device()?)?,
            EntryType::Fifo => mknod(path, SFlag::S_IFIFO, Mode::empty(), 0)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .custom_flags(libc::O_NOFOLLOW)
                    .mode(0o600)
                    .open(path)?;
                io::copy(entry, &mut file)?;
            }
            // Global headers and vendors' own kinds say nothing about files.
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn make_way(&self, path: &Path, kind: EntryType) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() && kind == EntryType::Directory => Ok(()),
            Ok(_) => crate::disk::remove_all(path),
            Err(_) => Ok(()),
        }
    }

    fn metadata<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        directories: &mut Vec<(PathBuf, i64)>,
    ) -> io::Result<()> {
        let header = entry.header();
        let kind = header.entry_type();
        let raw = header.as_old();
        let mode = number(header.mode().map(u64::from), &raw.mode)? as u32;
        let (uid, gid) = (number(header.uid(), &raw.uid)?, number(header.gid(), &raw.gid)?);
        let seconds = i64::try_from(number(header.mtime(), &raw.mtime)?).unwrap_or(0);
        let narrow = |id: u64| u32::try_from(id).map_err(|_| invalid("an owner out of range"));
        std::os::unix::fs::lchown(path, Some(narrow(uid)?), Some(narrow(gid)?))?;
        // After the owner: changing that clears the set-user-id bit, and capabilities too.
        if kind != EntryType::Symlink {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        let mut attributes = Vec::new();
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) {
                attributes.push((name.to_string(), extension.value_bytes().to_vec()));
            }
        }
        for (name, value) in attributes {
            // The overlay's own marks come from whiteouts alone.
            if name.starts_with("trusted.overlay.") {
                continue;
            }
            match set_xattr(path, &name, &value) {
                Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => {}
                other => other?,
            }
        }
        if kind == EntryType::Directory {
            directories.push((path.to_owned(), seconds));
            return Ok(());
        }
        set_time(path, seconds)
    }

    fn hard_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        let inner = normalise(target)?;
        let (Some(parent), Some(name)) = (inner.parent(), inner.file_name()) else {
            return Err(invalid("a link to the root"));
        };
        let resolved = self.resolve(parent)?.join(name);
        if fs::symlink_metadata(&resolved).is_ok() {
            return fs::hard_link(resolved, path);
        }
        // The file lies in a layer below; there a link becomes a copy, as it does in an overlay.
        for lower in self.lower {
            let source = lower.join(&inner);
            if let Ok(meta) = fs::symlink_metadata(&source)
                && meta.is_file()
                && !has_links(lower, &inner)
            {
                fs::copy(&source, path)?;
                std::os::unix::fs::lchown(path, Some(meta.uid()), Some(meta.gid()))?;
                return fs::set_permissions(path, meta.permissions());
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("a hard link to {}, which is not there", target.display()),
        ))
    }

    /// The real directory for `inner`, made with its parents where it is missing.
    fn directory(&self, inner: &Path) -> io::Result<PathBuf> {
        let mut done = PathBuf::new();
        let mut path = self.root.to_owned();
        for part in inner.components() {
            done.push(part);
            path = self.resolve(&done)?;
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => {
                    fs::remove_file(&path)?;
                    self.make_like_below(&done, &path)?;
                }
                Err(_) => self.make_like_below(&done, &path)?,
            }
        }
        Ok(path)
    }

    /// A directory that the archive leaves out has the mode and owner that it has below: in the overlay this one is on top.
    fn make_like_below(&self, inner: &Path, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        let below = self.lower.iter().find_map(|lower| {
            fs::symlink_metadata(lower.join(inner))
                .ok()
                .filter(|meta| meta.is_dir() && !has_links(lower, inner))
        });
        match below {
            Some(meta) => {
                std::os::unix::fs::lchown(path, Some(meta.uid()), Some(meta.gid()))?;
                fs::set_permissions(path, meta.permissions())
            }
            None => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
        }
    }

    /// Follows links of the layer as if `root` were the root directory. The result never leaves it.
    fn resolve(&self, inner: &Path) -> io::Result<PathBuf> {
        let mut rest: Vec<PathBuf> =
            inner.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.components().next() {
                Some(Component::ParentDir) => {
                    done.pop();
                    continue;
                }
                Some(Component::RootDir) => {
                    done = PathBuf::new();
                    continue;
                }
                Some(Component::Normal(_)) => {}
                _ => continue,
            }
            let candidate = self.root.join(&done).join(&part);
            match fs::read_link(&candidate) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(invalid("too many levels of symbolic links"));
                    }
                    rest.extend(target.components().rev().map(|part| PathBuf::from(part.as_os_str())));
                }
                Err(_) => done.push(part),
            }
        }
        Ok(self.root.join(done))
    }
}

/// A name relative to the root without `.`; empty for the root itself. A name that climbs is refused.
fn normalise(name: &Path) -> io::Result<PathBuf> {
    let mut inner = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => inner.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(invalid("the name climbs out of the layer"));
            }
        }
    }
    Ok(inner)
}

/// A number field that was left blank is zero, as in every other reader of archives.
fn number(parsed: io::Result<u64>, raw: &[u8]) -> io::Result<u64> {
    match parsed {
        Err(_) if raw.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        other => other,
    }
}

fn has_links(root: &Path, inner: &Path) -> bool {
    let mut path = root.to_owned();
    inner.parent().into_iter().flat_map(Path::components).any(|part| {
        path.push(part);
        fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink())
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| invalid("a name with a zero byte"))
}

#[expect(unsafe_code, reason = "the standard library writes no extended attributes")]
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let (path, name) = (c_string(path.as_os_str())?, c_string(OsStr::new(name))?);
    // SAFETY: both strings end in a zero, and the value has the length that is given.
    let done =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::{TimeSpec, TimeValLike as _};
    let time = TimeSpec::seconds(seconds);
    Ok(utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// Makes all that was written to the file system of `path` durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tar(tar::Builder<Vec<u8>>);

    impl Tar {
        fn new() -> Self {
            Self(tar::Builder::new(Vec::new()))
        }

        fn add(mut self, kind: EntryType, name: &str, link: Option<&str>, content: &str, mode: u32) -> Self {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(mode);
            header.set_mtime(1_000_000);
            // Written raw: the builder itself refuses the names under test.
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(link) = link {
                header.as_gnu_mut().expect("gnu").linkname[..link.len()].copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            self.0.append(&header, content.as_bytes()).expect("in memory");
            self
        }

        fn file(self, name: &str, content: &str) -> Self {
            self.add(EntryType::Regular, name, None, content, 0o644)
        }

        fn link(self, name: &str, target: &str) -> Self {
            self.add(EntryType::Symlink, name, Some(target), "", 0o777)
        }

        fn unpack(self, lower: &[PathBuf]) -> (tempfile::TempDir, io::Result<()>) {
            let directory = tempfile::tempdir().expect("a directory");
            let root = directory.path().join("root");
            fs::create_dir(&root).expect("new");
            let bytes = self.0.into_inner().expect("in memory");
            let result = unpack(bytes.as_slice(), &root, lower);
            (directory, result)
        }
    }

    #[test]
    fn nothing_leaves_the_layer() {
        let cases: Vec<(&str, Tar)> = vec![
            ("climbing name", Tar::new().file("../evil", "x")),
            ("climbing inside", Tar::new().file("a/../../evil", "x")),
            ("through an absolute link", Tar::new().link("a", "/").file("a/../evil", "x")),
            ("hard link outside", Tar::new().add(EntryType::Link, "x", Some("../../etc/passwd"), "", 0o644)),
            ("whiteout of the parent", Tar::new().file(".wh...", "")),
        ];
        for (name, tar) in cases {
            let (directory, result) = tar.unpack(&[]);
            assert!(result.is_err(), "{name}");
            assert!(!directory.path().join("evil").exists(), "{name}");
        }
    }

    #[test]
    fn links_lead_inside() {
        for target in ["/inner", "../../../../inner", "inner"] {
            let tar = Tar::new()
                .add(EntryType::Directory, "inner/", None, "", 0o755)
                .link("a", target)
                .file("a/file", "x");
            let (directory, result) = tar.unpack(&[]);
            result.expect(target);
            assert!(directory.path().join("root/inner/file").exists(), "{target}");
        }
    }

    #[test]
    fn absolute_names_and_modes_and_times_are_kept() {
        let tar = Tar::new().add(EntryType::Regular, "/bin/su", None, "x", 0o4755);
        let (directory, result) = tar.unpack(&[]);
        result.expect("valid");
        let meta = fs::metadata(directory.path().join("root/bin/su")).expect("unpacked");
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o4755, 1_000_000));
    }

    #[test]
    fn whiteouts_become_the_overlays_own() {
        let tar = Tar::new().file("d/.wh.gone", "").file("o/.wh..wh..opq", "");
        let (directory, result) = tar.unpack(&[]);
        result.expect("valid");
        use std::os::unix::fs::FileTypeExt as _;
        let meta = fs::symlink_metadata(directory.path().join("root/d/gone")).expect("a whiteout");
        assert!(meta.file_type().is_char_device() && meta.rdev() == 0);
        assert!(!directory.path().join("root/o/.wh..wh..opq").exists());
    }

    #[test]
    fn a_hard_link_reaches_into_lower_layers() {
        let (below, result) = Tar::new().file("a", "below").unpack(&[]);
        result.expect("valid");
        let tar = Tar::new().add(EntryType::Link, "b", Some("a"), "", 0o644);
        let (directory, result) = tar.unpack(&[below.path().join("root")]);
        result.expect("valid");
        assert_eq!(fs::read_to_string(directory.path().join("root/b")).expect("copied"), "below");
    }

    #[test]
    fn missing_parents_look_as_they_do_below() {
        let (below, result) = Tar::new().add(EntryType::Directory, "tmp/", None, "", 0o1777).unpack(&[]);
        result.expect("valid");
        let (directory, result) = Tar::new().file("tmp/x", "x").unpack(&[below.path().join("root")]);
        result.expect("valid");
        let meta = fs::metadata(directory.path().join("root/tmp")).expect("made");
        assert_eq!(meta.mode() & 0o7777, 0o1777);
    }
}
