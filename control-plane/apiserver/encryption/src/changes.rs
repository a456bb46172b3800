//! When a file may have changed: the kernel says so (inotify), nobody polls.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Editors and kubelets change a file in several steps; they are looked at together.
const SETTLE: Duration = Duration::from_millis(200);
/// A directory that is never quiet is looked at all the same.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Most bytes of notes read at once; what is left over is read next.
const NOTES_MAX: usize = 4096;

/// Tells when one of some files was written, replaced or made. A mounted Secret (a chain of symbolic links) is followed.
pub struct FileChanges {
    files: Vec<PathBuf>,
    /// Watches are added here; the notes come out of a copy of its descriptor.
    inotify: Inotify,
    /// The kernel's queue is read as a pipe is: bytes when there are some.
    notes: pipe::Receiver,
}

impl FileChanges {
    /// Must be called in a runtime with IO.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> std::io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let notes = pipe::Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
        let changes = Self { files: files.into_iter().collect(), inotify, notes };
        changes.arm()?;
        Ok(changes)
    }

    /// Watches the directories of the files, and of what they are links to. A directory that is watched already stays so.
    fn arm(&self) -> std::io::Result<()> {
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE;
        for file in &self.files {
            self.inotify.add_watch(directory(file), flags)?;
            // A file that is not there yet has no target.
            if let Ok(target) = file.canonicalize() {
                self.inotify.add_watch(directory(&target), flags)?;
            }
        }
        Ok(())
    }

    /// Waits until something happened beside a file, and it is quiet again. The caller compares contents: the news may be
    /// of a neighbour.
    pub async fn changed(&mut self) -> std::io::Result<()> {
        self.note().await?;
        let end = tokio::time::Instant::now() + SETTLE_MAX;
        while tokio::time::Instant::now() < end
            && let Ok(noted) = tokio::time::timeout(SETTLE, self.note()).await
        {
            noted?;
        }
        self.arm()
    }

    async fn note(&mut self) -> std::io::Result<()> {
        self.notes.read(&mut [0; NOTES_MAX]).await.map(drop)
    }
}

impl std::fmt::Debug for FileChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileChanges").field("files", &self.files).finish_non_exhaustive()
    }
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
