//! A stream that can be shut for writing: who writes to it keeps what it does not take.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that takes nothing while it is shut. Nobody is woken when it opens: who opens it writes or flushes then.
#[derive(Debug)]
pub(super) struct Valve<S> {
    stream: S,
    open: bool,
}

impl<S> Valve<S> {
    /// An open one.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, open: true }
    }

    pub(super) fn set_open(&mut self, open: bool) {
        self.open = open;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Valve<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Valve<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.open { Pin::new(&mut self.stream).poll_write(context, bytes) } else { Poll::Pending }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if self.open {
            Pin::new(&mut self.stream).poll_write_vectored(context, slices)
        } else {
            Poll::Pending
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
