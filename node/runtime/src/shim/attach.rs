//! A container's output on its way to the log and to whoever is attached.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::log::{Log, Stream};

/// An attached reader that is this far behind is let go: the container must not wait for it.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// One read. A pipe holds more, but what is allocated here once stays with the shim for good.
const READ_BYTES: usize = 16 * 1024;

/// A copy of one stream, on its way to a client.
pub(crate) struct Reader {
    pub stream: Stream,
    pub pipe: OwnedFd,
    pending: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(stream: Stream, pipe: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&pipe)?;
        Ok(Self { stream, pipe, pending: Vec::new() })
    }

    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends what it can; false when the client has gone or is too far behind.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        self.pending.extend_from_slice(bytes);
        let mut sent = 0;
        while sent < self.pending.len() {
            match nix::unistd::write(&self.pipe, &self.pending[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
        self.pending.drain(..sent);
        self.pending.len() <= PENDING_BYTES_MAX
    }
}

/// The output side of one container.
#[derive(Default)]
pub(crate) struct Output {
    pub log: Option<Log>,
    pub readers: Vec<Reader>,
}

impl Output {
    /// Moves what `source` holds; false when it has ended.
    pub(crate) fn drain(&mut self, stream: Stream, source: &OwnedFd) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match nix::unistd::read(source, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.push(stream, &buffer[..count]);
                    if count < READ_BYTES {
                        return true;
                    }
                }
                Err(Errno::EAGAIN) => return true,
                Err(Errno::EINTR) => {}
                // A terminal whose last user has gone answers EIO.
                Err(_) => return false,
            }
        }
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
        self.readers.retain_mut(|reader| reader.stream != stream || reader.push(bytes));
    }

    /// No more output of this stream will come.
    pub(crate) fn finish(&mut self, stream: Stream) {
        if let Some(log) = &mut self.log {
            log.finish(stream);
        }
        self.readers.retain(|reader| reader.stream != stream);
    }
}

pub(crate) fn set_nonblocking(descriptor: &impl AsFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(descriptor.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(descriptor.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
