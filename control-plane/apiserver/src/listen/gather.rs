//! Small writes become large ones: HTTP/2 writes and flushes frame by frame, and each write would be a TLS record and a
//! system call.
//!
//! What is flushed goes out one turn later: the connection's task lets those run first who are about to write on other
//! streams, is polled again, and sends what all of them wrote. Each turn of HTTP/2 reads before it writes.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Held back at most. Eight TLS records.
const GATHERED_MAX: usize = 128 * 1024;
/// The first piece of memory; idle connections hold none.
const FIRST: usize = 8 * 1024;

/// A stream whose writes wait for each other.
pub(super) struct Gather<S> {
    stream: S,
    held: Vec<u8>,
    /// Of `held`, what is on its way already.
    sent: usize,
    /// Turns of the connection, by the reading that each begins with.
    turn: u64,
    reading: bool,
    /// The turn in which what is held was flushed first.
    flushed: Option<u64>,
}

impl<S> Gather<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), sent: 0, turn: 0, reading: false, flushed: None }
    }

    fn begin_reading(&mut self) {
        self.turn += u64::from(!self.reading);
        self.reading = true;
    }

    /// Whether a flush has to wait for the turn after this one.
    fn may_wait(&mut self) -> bool {
        *self.flushed.get_or_insert(self.turn) == self.turn && self.held.len() < GATHERED_MAX
    }

    fn hold(&mut self, bytes: &[u8]) {
        let needed = self.held.len() + bytes.len();
        if needed > self.held.capacity() {
            // Who writes more than a little writes much: there is one step, not a copy for every doubling.
            let room = if needed <= FIRST { FIRST } else { needed.max(GATHERED_MAX) };
            self.held.reserve_exact(room - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.held.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.held[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.sent = 0;
        self.held.clear();
        self.flushed = None;
        Poll::Ready(Ok(()))
    }

    /// Makes room for `more` bytes.
    fn poll_room(&mut self, context: &mut Context<'_>, more: usize) -> Poll<Result<()>> {
        if self.held.len() + more > GATHERED_MAX { self.poll_send(context) } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.begin_reading();
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.reading = false;
        ready!(self.poll_room(context, bytes.len()))?;
        if bytes.len() >= GATHERED_MAX {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        self.hold(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.reading = false;
        let all = slices.iter().map(|slice| slice.len()).sum();
        ready!(self.poll_room(context, all))?;
        if all >= GATHERED_MAX {
            let largest = slices.iter().find(|slice| !slice.is_empty());
            return Pin::new(&mut self.stream).poll_write(context, largest.map_or(&[], |slice| slice));
        }
        for slice in slices {
            self.hold(slice);
        }
        Poll::Ready(Ok(all))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.reading = false;
        if !self.held.is_empty() {
            if self.may_wait() {
                // Behind everybody who is ready to run.
                context.waker().wake_by_ref();
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(context))?;
        }
        self.held = Vec::new();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The next turn of a connection that has nothing to read and flushes.
    async fn turn<S: AsyncRead + AsyncWrite + Unpin>(gather: &mut Gather<S>) {
        assert!(gather.read_u8().now_or_never().is_none(), "there is nothing to read");
        gather.flush().await.expect("there is room");
    }

    #[tokio::test]
    async fn nothing_goes_out_before_its_turn_and_nothing_is_lost() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut gather = Gather::new(ours);
        let mut wanted = Vec::new();
        let sizes = [1, 9, 16 * 1024, GATHERED_MAX - 1, GATHERED_MAX, 3 * GATHERED_MAX, 5];
        for (at, size) in sizes.iter().enumerate() {
            let bytes = vec![at as u8; *size];
            gather.write_all(&bytes).await.expect("there is room");
            wanted.extend_from_slice(&bytes);
        }
        assert_eq!(gather.held.len(), 5, "the last waits");
        gather.flush().await.expect("there is room");
        let slices = [IoSlice::new(b"head"), IoSlice::new(b"body")];
        let written = gather.write_vectored(&slices).await.expect("there is room");
        assert_eq!(written, 8);
        wanted.extend_from_slice(b"headbody");
        gather.flush().await.expect("there is room");
        assert_eq!(gather.held.len(), 13, "it is still the same turn");
        turn(&mut gather).await;
        assert_eq!(gather.held.len(), 0, "it was flushed a turn ago");
        turn(&mut gather).await;
        assert_eq!(gather.held.capacity(), 0, "an idle connection holds nothing");
        let mut got = vec![0; wanted.len()];
        theirs.read_exact(&mut got).await.expect("all has been sent");
        assert!(got == wanted, "what was written");
    }

    #[tokio::test]
    async fn who_flushes_is_woken_for_the_next_turn() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut gather = Gather::new(ours);
        gather.write_all(b"answer").await.expect("there is room");
        let mut turns = 0;
        let served = std::future::poll_fn(|context| {
            turns += 1;
            let mut into = [0; 8];
            let _ = Pin::new(&mut gather).poll_read(context, &mut ReadBuf::new(&mut into));
            ready!(Pin::new(&mut gather).poll_flush(context))?;
            if gather.held.is_empty() { Poll::Ready(Ok::<_, std::io::Error>(())) } else { Poll::Pending }
        });
        served.await.expect("there is room");
        assert_eq!(turns, 2);
        let mut got = [0; 6];
        theirs.read_exact(&mut got).await.expect("it has been sent");
        assert_eq!(&got, b"answer");
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_writer_up() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut gather = Gather::new(ours);
        let writing = async {
            for at in 0..100_u8 {
                gather.write_all(&[at; 1500]).await.expect("somebody reads");
            }
            gather.shutdown().await.expect("somebody reads");
        };
        let reading = async {
            let mut got = vec![0; 150_000];
            theirs.read_exact(&mut got).await.expect("all comes");
            got
        };
        let ((), got) = tokio::join!(writing, reading);
        assert!(got.chunks(1500).enumerate().all(|(at, piece)| piece.iter().all(|b| *b == at as u8)));
    }
}
