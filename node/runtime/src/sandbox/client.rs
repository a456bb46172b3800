//! The agent's side of the shim's socket.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::shim::SOCKET;
use crate::shim::protocol::{Request, Response};
use crate::shim::wire;

/// Why a shim did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum ShimError {
    #[error("reach the pod's shim")]
    Unreachable(#[source] io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("not known to the pod's shim")]
    NotFound,
}

/// Reaches one shim; each call has its own connection.
#[derive(Debug, Clone)]
pub(crate) struct ShimClient {
    directory: PathBuf,
}

/// An open connection, for what is answered more than once.
pub(crate) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl ShimClient {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// One question, one answer, and the descriptors that came with it.
    pub(crate) async fn call(&self, request: &Request) -> Result<(Response, Vec<OwnedFd>), ShimError> {
        let mut connection = self.open(request, &[]).await?;
        connection.answer().await
    }

    /// A call of which only the success matters.
    pub(crate) async fn order(&self, request: &Request) -> Result<(), ShimError> {
        self.call(request).await.map(|_| ())
    }

    /// Sends a request and keeps the connection.
    pub(crate) async fn open(
        &self,
        request: &Request,
        descriptors: &[RawFd],
    ) -> Result<Connection, ShimError> {
        let stream = self.connect().await.map_err(ShimError::Unreachable)?;
        let connection = Connection { stream, input: Vec::new(), descriptors: Vec::new() };
        connection.send(&wire::encode(request), descriptors).await.map_err(ShimError::Unreachable)?;
        Ok(connection)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        // Through the directory's descriptor: the whole path may be longer than a socket address.
        let directory = File::options().read(true).custom_flags(libc::O_PATH).open(&self.directory)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd())).await
    }
}

impl Connection {
    async fn send(&self, mut bytes: &[u8], mut descriptors: &[RawFd]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || wire::send(&self.stream, bytes, descriptors))
                .await?;
            bytes = &bytes[sent..];
            descriptors = &[];
        }
        Ok(())
    }

    /// The next frame; `None` when the shim has closed the connection.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(frame) = wire::take_frame(&mut self.input)? {
                return Ok(Some(serde_json::from_slice(&frame)?));
            }
            let mut buffer = [0; 4096];
            let mut descriptors = Vec::new();
            let received = self
                .stream
                .async_io(Interest::READABLE, || wire::receive(&self.stream, &mut buffer, &mut descriptors))
                .await?;
            self.descriptors.append(&mut descriptors);
            if received == 0 {
                return Ok(None);
            }
            self.input.extend_from_slice(&buffer[..received]);
        }
    }

    /// The next answer, as success or error, with the descriptors that came so far.
    pub(crate) async fn answer(&mut self) -> Result<(Response, Vec<OwnedFd>), ShimError> {
        let closed = || ShimError::Unreachable(io::ErrorKind::UnexpectedEof.into());
        match self.next().await.map_err(ShimError::Unreachable)?.ok_or_else(closed)? {
            Response::Failed { message } => Err(ShimError::Refused(message)),
            Response::NotFound => Err(ShimError::NotFound),
            response => Ok((response, std::mem::take(&mut self.descriptors))),
        }
    }
}
