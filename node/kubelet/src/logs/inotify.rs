//! The kernel's notice that a file or its directory changed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tokio::io::unix::AsyncFd;

pub(crate) struct Inotify(AsyncFd<OwnedFd>);

impl Inotify {
    /// Watches a file and the directory that it is in (for its replacement).
    pub(crate) fn watch(path: &Path) -> io::Result<Self> {
        let inotify = Self::new()?;
        inotify.add(path, libc::IN_MODIFY)?;
        if let Some(parent) = path.parent() {
            inotify.add(parent, libc::IN_CREATE | libc::IN_MOVED_TO)?;
        }
        Ok(inotify)
    }

    /// Watches what is made, changed, moved and removed in a directory.
    pub(crate) fn watch_dir(path: &Path) -> io::Result<Self> {
        let inotify = Self::new()?;
        inotify.add(
            path,
            libc::IN_CLOSE_WRITE
                | libc::IN_MOVED_TO
                | libc::IN_MOVED_FROM
                | libc::IN_DELETE
                | libc::IN_CREATE,
        )?;
        Ok(inotify)
    }

    #[expect(unsafe_code, reason = "inotify has no safe wrapper among the house's crates")]
    fn new() -> io::Result<Self> {
        // SAFETY: the call takes flags only; the descriptor that it gives is owned by nobody else. `OwnedFd` keeps it open
        // and the same for as long as the `AsyncFd` has it.
        unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(AsyncFd::register(OwnedFd::from_raw_fd(fd))?))
        }
    }

    #[expect(unsafe_code, reason = "inotify has no safe wrapper among the house's crates")]
    fn add(&self, path: &Path, mask: u32) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the descriptor is open and the path is a string that outlives the call.
        let added = unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) };
        if added < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Returns after something has happened; several events are one change.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = self.0.readable().await?;
            let read =
                ready.try_io(|fd| nix::unistd::read(fd.get_ref(), &mut buffer).map_err(io::Error::from));
            match read {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
