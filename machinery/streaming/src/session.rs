//! A connection at work: one task that reads frames, writes frames, and knows when to end. What a frame is, is the
//! transport's business ([`crate::spdy`], [`crate::websocket`]).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use oarlock_base::Shutdown;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, PollSender};

/// Frames that wait for the network: enough to keep it busy, few enough (with [`CHUNK`]) to stay small.
const OUTBOUND_FRAMES: usize = 8;
/// The most bytes of one write that go into one frame.
pub(crate) const CHUNK: usize = 32 * 1024;
/// Bytes of one stream that were received and not yet read; when full, the connection is read no further.
pub(crate) const INBOUND_BYTES: usize = 64 * 1024;
/// How long an ended connection is still read, so that a reset does not overtake the last output.
const LINGER: Duration = Duration::from_secs(10);

/// Writes a transport's frames.
pub(crate) trait FrameSink<F> {
    fn write(&mut self, frame: F) -> impl Future<Output = io::Result<()>> + Send;
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// The last frames of a connection, and word when they are handed to the network.
struct Finish<F> {
    frames: Vec<F>,
    done: oneshot::Sender<()>,
}

/// Ends a connection; dropped, the connection ends with the frames it was started with for that case.
pub(crate) struct Finisher<F>(oneshot::Sender<Finish<F>>);

impl<F> Finisher<F> {
    /// The same, without waiting.
    pub(crate) fn finish_soon(self, frames: Vec<F>) {
        let (done, _) = oneshot::channel();
        // The connection may have ended before.
        self.0.send(Finish { frames, done }).ok();
    }

    /// Sends these frames after all that was written, and closes. False if the connection ended before.
    pub(crate) async fn finish(self, frames: Vec<F>) -> bool {
        let (done, wait) = oneshot::channel();
        self.0.send(Finish { frames, done }).is_ok() && wait.await.is_ok()
    }
}

/// What the streams of a connection share with its task.
pub(crate) struct Session<F> {
    out: mpsc::Sender<F>,
    orphans: Arc<Orphans<F>>,
    activity: Arc<Activity>,
    ending: CancellationToken,
    hangup: CancellationToken,
}

impl<F> Clone for Session<F> {
    fn clone(&self) -> Self {
        Self {
            out: self.out.clone(),
            orphans: self.orphans.clone(),
            activity: self.activity.clone(),
            ending: self.ending.clone(),
            hangup: self.hangup.clone(),
        }
    }
}

/// The receiving ends that the task of a connection takes.
pub(crate) struct Driver<F> {
    session: Session<F>,
    out: mpsc::Receiver<F>,
    finish: oneshot::Receiver<Finish<F>>,
    /// Sent when the finisher is dropped.
    abandoned: Vec<F>,
}

/// A session, its driver and its end.
pub(crate) fn session<F: Send + 'static>(abandoned: Vec<F>) -> (Session<F>, Driver<F>, Finisher<F>) {
    let (out, queue) = mpsc::channel(OUTBOUND_FRAMES);
    let (end, finish) = oneshot::channel();
    let session = Session {
        out,
        orphans: Arc::default(),
        activity: Arc::default(),
        ending: CancellationToken::new(),
        hangup: CancellationToken::new(),
    };
    let driver = Driver { session: session.clone(), out: queue, finish, abandoned };
    (session, driver, Finisher(end))
}

impl<F: Send + 'static> Session<F> {
    /// Queues a frame; false when the connection has ended.
    pub(crate) async fn send(&self, frame: F) -> bool {
        self.out.send(frame).await.is_ok()
    }

    /// Queues a frame without waiting; it goes out after what is queued now.
    fn send_later(&self, frame: F) {
        self.orphans.frames.lock().expect("no holder panics").push(frame);
        self.orphans.arrived.notify_one();
    }

    /// Cancelled when the connection has ended.
    pub(crate) fn hangup(&self) -> &CancellationToken {
        &self.hangup
    }

    /// Something moved: the connection is not idle.
    pub(crate) fn touch(&self) {
        self.activity.touch();
    }

    /// Gives received bytes to a stream, waiting while it is full; false when nobody reads it any more. While the
    /// connection ends, bytes are discarded.
    pub(crate) async fn deliver(&self, stream: &mut DuplexStream, bytes: &[u8]) -> bool {
        tokio::select! {
            biased;
            () = self.ending.cancelled() => false,
            written = stream.write_all(bytes) => written.is_ok(),
        }
    }

    /// A writer whose bytes become frames by `encode`; `fin` is the frame of its half-close.
    pub(crate) fn writer(
        &self,
        encode: impl Fn(&[u8]) -> F + Send + 'static,
        fin: Option<F>,
    ) -> FrameWriter<F> {
        FrameWriter {
            session: self.clone(),
            sender: PollSender::new(self.out.clone()),
            encode: Box::new(encode),
            fin,
            reset: Arc::default(),
        }
    }
}

impl<F: Send + 'static> Driver<F> {
    /// Runs the connection to its end: `read` ends when the peer has gone, `sink` takes the frames.
    pub(crate) async fn run(
        mut self,
        mut sink: impl FrameSink<F>,
        read: impl Future<Output = ()>,
        idle_timeout: Duration,
        shutdown: Shutdown,
    ) {
        let session = self.session.clone();
        let mut read = pin!(read);
        tokio::select! {
            written = self.write(&mut sink) => {
                if written.is_ok() {
                    // Only patience ends here: the peer has everything, or will never take it.
                    tokio::time::timeout(LINGER, &mut read).await.ok();
                }
            }
            () = &mut read => {}
            () = session.activity.idle(idle_timeout) => tracing::debug!("streaming connection was idle for too long"),
            () = shutdown.wait() => {}
        }
        session.ending.cancel();
        session.hangup.cancel();
    }

    async fn write(&mut self, sink: &mut impl FrameSink<F>) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                finish = &mut self.finish => return self.write_end(sink, finish.ok()).await,
                frame = self.out.recv() => {
                    if let Some(frame) = frame {
                        sink.write(frame).await?;
                    }
                    self.write_queued(sink).await?;
                }
                () = self.session.orphans.arrived.notified() => {
                    self.write_queued(sink).await?;
                    self.write_orphans(sink).await?;
                }
            }
            sink.flush().await?;
            self.session.touch();
        }
    }

    async fn write_queued(&mut self, sink: &mut impl FrameSink<F>) -> io::Result<()> {
        while let Ok(frame) = self.out.try_recv() {
            sink.write(frame).await?;
        }
        Ok(())
    }

    async fn write_orphans(&mut self, sink: &mut impl FrameSink<F>) -> io::Result<()> {
        let frames = std::mem::take(&mut *self.session.orphans.frames.lock().expect("no holder panics"));
        for frame in frames {
            sink.write(frame).await?;
        }
        Ok(())
    }

    async fn write_end(&mut self, sink: &mut impl FrameSink<F>, finish: Option<Finish<F>>) -> io::Result<()> {
        self.out.close();
        self.session.ending.cancel();
        self.write_queued(sink).await?;
        self.write_orphans(sink).await?;
        let (frames, done) = match finish {
            Some(finish) => (finish.frames, Some(finish.done)),
            None => (std::mem::take(&mut self.abandoned), None),
        };
        for frame in frames {
            sink.write(frame).await?;
        }
        sink.flush().await?;
        if let Some(done) = done {
            // Nobody may be waiting any more.
            done.send(()).ok();
        }
        sink.close().await
    }
}

/// Frames of streams that were dropped without a close.
struct Orphans<F> {
    frames: Mutex<Vec<F>>,
    arrived: Notify,
}

impl<F> Default for Orphans<F> {
    fn default() -> Self {
        Self { frames: Mutex::default(), arrived: Notify::new() }
    }
}

/// When something last moved.
struct Activity {
    start: Instant,
    last_ms: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Activity {
    fn touch(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Returns when nothing moved for `timeout`. Wakes at most once per timeout.
    async fn idle(&self, timeout: Duration) {
        loop {
            let due = self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + timeout;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

/// Makes a frame of a stream's bytes.
type Encode<F> = Box<dyn Fn(&[u8]) -> F + Send>;

/// The writing end of a stream. Back-pressure is the connection's queue; `shutdown` half-closes the stream, and so does
/// a drop.
pub(crate) struct FrameWriter<F: Send + 'static> {
    session: Session<F>,
    sender: PollSender<F>,
    encode: Encode<F>,
    fin: Option<F>,
    reset: Arc<AtomicBool>,
}

impl<F: Send + 'static> FrameWriter<F> {
    /// Drops the writer without closing the stream.
    pub(crate) fn leave_open(mut self) {
        self.fin = None;
    }

    /// Set by the connection when the peer gave the stream up.
    pub(crate) fn reset_flag(&self) -> Arc<AtomicBool> {
        self.reset.clone()
    }
}

impl<F: Send + 'static> Drop for FrameWriter<F> {
    fn drop(&mut self) {
        if let Some(fin) = self.fin.take()
            && !self.reset.load(Ordering::Relaxed)
            && !self.session.hangup.is_cancelled()
        {
            self.session.send_later(fin);
        }
    }
}

impl<F: Send + Unpin + 'static> AsyncWrite for FrameWriter<F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.reset.load(Ordering::Relaxed) || ready!(self.sender.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(CHUNK);
        let frame = (self.encode)(&bytes[..taken]);
        let sent = self.sender.send_item(frame);
        Poll::Ready(sent.map(|()| taken).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fin.is_none() || self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        // A closed connection has half-closed every stream.
        if ready!(self.sender.poll_reserve(cx)).is_ok()
            && let Some(fin) = self.fin.take()
        {
            self.sender.send_item(fin).ok();
        }
        self.fin = None;
        Poll::Ready(Ok(()))
    }
}
