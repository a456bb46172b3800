//! Small writes become large ones: HTTP/2 writes and flushes frame by frame, and each write would be a TLS record and a
//! system call.
//!
//! What fills records is encrypted from where it lies; only the rest is copied, to wait for more. Records wait behind a
//! [`Valve`] and go to the socket together.
//!
//! What is flushed goes out one turn later: the connection's task lets those run first who are about to write on other
//! streams, is polled again, and sends what all of them wrote. Each turn of HTTP/2 reads before it writes.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::valve::Valve;

/// What a TLS record holds at most.
const RECORD: usize = 16 * 1024;
/// What waits for a flush at most. More must not be encrypted behind a shut valve than TLS takes without sending.
const GATHERED_MAX: usize = 256 * 1024;
const _: () = assert!(GATHERED_MAX + 2 * RECORD <= super::tls::ENCRYPTED_MAX);
/// Pieces of memory that are encrypted as one: what is held, and what HTTP/2 writes at once.
const PIECES: usize = 4;

/// A stream that takes what is written to it, and sends it only while it is open.
pub(super) trait Shut {
    fn set_open(&mut self, open: bool);
}

impl<S> Shut for TlsStream<Valve<S>> {
    fn set_open(&mut self, open: bool) {
        self.get_mut().0.set_open(open);
    }
}

/// A stream whose writes wait for each other.
pub(super) struct Gather<S> {
    stream: S,
    /// Less than a record.
    held: Vec<u8>,
    /// What the stream has taken since it was shut.
    taken: usize,
    /// The stream is open until all is sent.
    sending: bool,
    /// Turns of the connection, by the reading that each begins with.
    turn: u64,
    reading: bool,
    /// The turn in which what waits was flushed first.
    flushed: Option<u64>,
}

impl<S: Shut> Gather<S> {
    pub(super) fn new(mut stream: S) -> Self {
        stream.set_open(false);
        Self { stream, held: Vec::new(), taken: 0, sending: false, turn: 0, reading: false, flushed: None }
    }

    fn begin_reading(&mut self) {
        self.turn += u64::from(!self.reading);
        self.reading = true;
    }

    fn waiting(&self) -> usize {
        self.held.len() + self.taken
    }

    /// Whether a flush has to wait for the turn after this one.
    fn may_wait(&mut self) -> bool {
        let waiting = self.waiting();
        (1..GATHERED_MAX).contains(&waiting)
            && !self.sending
            && *self.flushed.get_or_insert(self.turn) == self.turn
    }
}

impl<S: AsyncWrite + Shut + Unpin> Gather<S> {
    /// Sends all that waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))?;
            self.held.drain(..nonzero(written)?);
        }
        self.sending = true;
        self.stream.set_open(true);
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.stream.set_open(false);
        self.sending = false;
        self.taken = 0;
        self.flushed = None;
        Poll::Ready(Ok(()))
    }

    /// Gives the stream all that fills records and holds the rest; how much of `slices` was taken.
    fn poll_take(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let slices = &slices[..slices.len().min(PIECES - 1)];
        let fresh: usize = slices.iter().map(|slice| slice.len()).sum();
        let whole = (self.held.len() + fresh) / RECORD * RECORD;
        let mut done = 0;
        if whole > 0 {
            let pieces = first_of(whole, &self.held, slices);
            let written = nonzero(ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &pieces))?)?;
            self.taken += written;
            let of_held = written.min(self.held.len());
            self.held.drain(..of_held);
            done = written - of_held;
            if written < whole {
                return if done > 0 { Poll::Ready(Ok(done)) } else { self.poll_take(context, slices) };
            }
        }
        if self.held.is_empty() && fresh > done {
            self.held.reserve_exact(RECORD);
        }
        for slice in slices {
            let skipped = done.min(slice.len());
            self.held.extend_from_slice(&slice[skipped..]);
            done -= skipped;
        }
        Poll::Ready(Ok(fresh))
    }
}

/// The first `whole` bytes of what is held and what comes.
fn first_of<'a>(whole: usize, held: &'a [u8], slices: &'a [IoSlice<'_>]) -> [IoSlice<'a>; PIECES] {
    let mut left = whole;
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let all = std::iter::once(held).chain(slices.iter().map(|slice| &**slice));
    for (piece, bytes) in pieces.iter_mut().zip(all) {
        let (first, _) = bytes.split_at(left.min(bytes.len()));
        *piece = IoSlice::new(first);
        left -= first.len();
    }
    pieces
}

fn nonzero(written: usize) -> Result<usize> {
    if written == 0 { Err(std::io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

impl<S: AsyncRead + AsyncWrite + Shut + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.begin_reading();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if matches!(read, Poll::Ready(Err(_))) {
            // TLS may have an alert to send; the reading's own error counts.
            let _ = self.poll_send(context);
        }
        read
    }
}

impl<S: AsyncWrite + Shut + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.reading = false;
        if self.sending || self.waiting() >= GATHERED_MAX {
            ready!(self.poll_send(context))?;
        }
        self.poll_take(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.reading = false;
        if self.may_wait() {
            // Behind everybody who is ready to run.
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(context))?;
        self.held = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(context))?;
        self.stream.set_open(true);
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;
    use oarlock_pki::{Authority, Profile, SubjectName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client};

    use super::super::tls::ENCRYPTED_MAX;
    use super::*;

    type Ours = Gather<TlsStream<Valve<DuplexStream>>>;
    type Theirs = client::TlsStream<DuplexStream>;

    /// Two ends of TLS. So many bytes are under way at most.
    async fn connected(under_way: usize) -> (Ours, Theirs) {
        oarlock_pki::install_crypto_provider();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ca = Authority::load_or_create(&dir.path().join("ca.crt"), &dir.path().join("ca.key"), "ca");
        let ca = ca.expect("an authority");
        let server = ca.issue(&Profile::server("api", vec![SubjectName::Dns("api.test".into())]));
        let server = oarlock_pki::server_config(&server.expect("an identity"), None, &["h2"]);
        let client = oarlock_pki::client_config(ca.cert_pem(), None).expect("a client's side");
        let (ours, theirs) = tokio::io::duplex(under_way);
        let acceptor = TlsAcceptor::from(Arc::new(server.expect("a server's side")));
        let connector = TlsConnector::from(Arc::new(client));
        let name = "api.test".try_into().expect("a name");
        let (ours, theirs) = tokio::join!(acceptor.accept(Valve::new(ours)), connector.connect(name, theirs));
        let mut ours = ours.expect("a handshake");
        ours.get_mut().1.set_buffer_limit(Some(ENCRYPTED_MAX));
        (Gather::new(ours), theirs.expect("a handshake"))
    }

    /// The next turn of a connection that has nothing to read and flushes.
    async fn turn(gather: &mut Ours) {
        assert!(gather.read_u8().now_or_never().is_none(), "there is nothing to read");
        gather.flush().await.expect("there is room");
    }

    #[tokio::test]
    async fn nothing_goes_out_before_its_turn_and_nothing_is_lost() {
        let (mut gather, mut theirs) = connected(1 << 24).await;
        let mut wanted = Vec::new();
        let sizes = [1, 9, RECORD, RECORD - 10, 1, GATHERED_MAX - 1, GATHERED_MAX, 20 * GATHERED_MAX, 5];
        for (at, size) in sizes.iter().enumerate() {
            let bytes = vec![at as u8; *size];
            gather.write_all(&bytes).await.expect("there is room");
            wanted.extend_from_slice(&bytes);
            assert!(gather.held.len() < RECORD, "only what does not fill a record is copied");
        }
        let before = gather.waiting();
        gather.flush().await.expect("there is room");
        let slices = [b"head", b"body", b"tail", b"more", b"rest"].map(|piece| IoSlice::new(piece));
        let written = gather.write_vectored(&slices).await.expect("there is room");
        assert!((1..=20).contains(&written));
        wanted.extend_from_slice(&b"headbodytailmorerest"[..written]);
        gather.flush().await.expect("there is room");
        assert_eq!(gather.waiting(), before + written, "it is still the same turn");
        turn(&mut gather).await;
        assert_eq!(gather.waiting(), 0, "it was flushed a turn ago");
        assert_eq!(gather.held.capacity(), 0, "an idle connection holds nothing");
        let mut got = vec![0; wanted.len()];
        theirs.read_exact(&mut got).await.expect("all has been sent");
        assert!(got == wanted, "what was written");
    }

    #[tokio::test]
    async fn pieces_of_any_size_arrive_as_they_were_written() {
        let (mut gather, mut theirs) = connected(10_000).await;
        let piece = |at: usize| vec![at as u8; at * at * 7 % 40_000];
        let writing = async {
            for at in 0..200 {
                let bytes = piece(at);
                let (first, second) = bytes.split_at(bytes.len() / 3);
                let written = if first.is_empty() {
                    0
                } else {
                    let slices = [IoSlice::new(first), IoSlice::new(second)];
                    gather.write_vectored(&slices).await.expect("somebody reads")
                };
                gather.write_all(&bytes[written..]).await.expect("somebody reads");
                if at % 16 == 0 {
                    gather.flush().await.expect("somebody reads");
                }
            }
            gather.shutdown().await.expect("somebody reads");
        };
        let reading = async {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.expect("it ends as TLS does");
            got
        };
        let ((), got) = tokio::join!(writing, reading);
        assert!(got == (0..200).flat_map(piece).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn who_flushes_is_woken_for_the_next_turn() {
        let (mut gather, mut theirs) = connected(10_000).await;
        gather.write_all(b"answer").await.expect("there is room");
        let mut turns = 0;
        let served = std::future::poll_fn(|context| {
            turns += 1;
            let mut into = [0; 8];
            let _ = Pin::new(&mut gather).poll_read(context, &mut ReadBuf::new(&mut into));
            ready!(Pin::new(&mut gather).poll_flush(context))?;
            if gather.waiting() == 0 { Poll::Ready(Ok::<_, std::io::Error>(())) } else { Poll::Pending }
        });
        served.await.expect("there is room");
        assert_eq!(turns, 2);
        let mut got = [0; 6];
        theirs.read_exact(&mut got).await.expect("it has been sent");
        assert_eq!(&got, b"answer");
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_writer_up() {
        let (mut gather, mut theirs) = connected(1000).await;
        let mut written = 0;
        while let Some(done) = gather.write(&[7; 1500]).now_or_never() {
            written += done.expect("the other end is there");
        }
        assert!((GATHERED_MAX..=GATHERED_MAX + RECORD).contains(&written), "{written}");
        let reading = async {
            let mut got = vec![0; written];
            theirs.read_exact(&mut got).await.expect("all comes");
            got
        };
        let (got, flushed) = tokio::join!(reading, gather.flush());
        flushed.expect("somebody reads");
        assert!(got.iter().all(|byte| *byte == 7));
    }
}
