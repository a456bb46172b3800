//! A terminal's master as the agent uses it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use oarlock_streaming::{Reader, TerminalSize, Writer};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// One read from a terminal gives no more than a page.
const READ_BYTES: usize = 4096;

pub(super) struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    #[expect(unsafe_code, reason = "the reactor is told of a descriptor")]
    pub(super) fn new(master: OwnedFd) -> io::Result<Self> {
        crate::shim::set_nonblocking(&master)?;
        // SAFETY: an OwnedFd names the same open file until it is dropped, which the AsyncFd outlives.
        Ok(Self(unsafe { AsyncFd::register(master)? }))
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|master| Ok(nix::unistd::read(master, buffer)?)) {
                // The last user of the other side has gone.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(0),
                Ok(result) => return result,
                Err(_) => {}
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut guard = self.0.writable().await?;
            if let Ok(result) = guard.try_io(|master| Ok(nix::unistd::write(master, bytes)?)) {
                bytes = &bytes[result?..];
            }
        }
        Ok(())
    }

    /// Copies what is shown to the client, until the terminal is closed.
    pub(super) async fn show(&self, mut client: Writer) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.read(&mut buffer).await? {
                0 => return Ok(()),
                count => client.write_all(&buffer[..count]).await?,
            }
        }
    }

    /// Copies what the client types.
    pub(super) async fn type_in(&self, mut client: Reader) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match client.read(&mut buffer).await? {
                0 => return Ok(()),
                count => self.write_all(&buffer[..count]).await?,
            }
        }
    }

    #[expect(unsafe_code, reason = "a terminal's size is set by an ioctl on a C structure")]
    pub(super) fn resize(&self, size: TerminalSize) {
        let size = libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the structure outlives the call. It fails only for what is no terminal, which then has no size.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    }
}
