//! A SPDY/3.1 connection as Docker's and Kubernetes' peers speak it: streams with headers, half-close, ping, and no
//! flow-control windows (no peer enforces them; ours is the bounded queue of [`crate::session`]).

mod frame;
mod header_block;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::session::{FrameSink, FrameWriter, INBOUND_BYTES, Session};
use crate::{ByteStream, StreamingError};
pub(crate) use frame::{Decoder, Encoder, Frame, Headers};
use frame::{RST_PROTOCOL_ERROR, RST_REFUSED_STREAM};

/// Streams that one peer may have open: far above what kubectl opens, low enough to bound memory.
const STREAMS_MAX: usize = 2048;
/// Streams that were opened and not yet taken.
const ACCEPTED_QUEUE: usize = 16;

/// The server's or the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// One stream of a connection.
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    pub(crate) reader: DuplexStream,
    pub(crate) writer: FrameWriter<Frame>,
}

impl Stream {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// What the connection knows of an open stream.
struct Entry {
    /// Where its bytes go; gone once the peer has half-closed it or nobody reads.
    inbound: Option<DuplexStream>,
    replied: Option<oneshot::Sender<()>>,
    reset: Arc<AtomicBool>,
}

type Entries = Arc<Mutex<HashMap<u32, Entry>>>;

/// A handle on a connection: opens streams.
#[derive(Clone)]
pub(crate) struct Connection {
    session: Session<Frame>,
    entries: Entries,
    /// Held while a stream is opened: ids must go out in order.
    opening: Arc<AsyncMutex<()>>,
    next_id: Arc<AtomicU32>,
}

/// Whether a stream that the peer wants is accepted.
pub(crate) type Accept = fn(&Headers) -> bool;

/// The frame that says a connection ends in order.
pub(crate) const GO_AWAY: Frame = Frame::GoAway { last: 0, status: 0 };

/// The halves of a connection: the handle, the streams that the peer opens, and the work, which the caller spawns.
pub(crate) fn connect<Io: ByteStream>(
    io: Io,
    side: Side,
    session: Session<Frame>,
    accept: Accept,
) -> (Connection, mpsc::Receiver<Stream>, Sink<Io>, impl Future<Output = ()> + Send) {
    let (read, write) = tokio::io::split(io);
    let (opened, streams) = mpsc::channel(ACCEPTED_QUEUE);
    let first = if side == Side::Client { 1 } else { 2 };
    let connection = Connection {
        session,
        entries: Entries::default(),
        opening: Arc::default(),
        next_id: Arc::new(AtomicU32::new(first)),
    };
    let reader = Reader { connection: connection.clone(), side, opened, accept, last_id: 0 };
    (connection, streams, Sink::new(write), reader.run(read))
}

impl Connection {
    /// Opens a stream and waits for the peer's reply: Docker's implementation drops what comes before its own reply.
    pub(crate) async fn open(&self, headers: Headers) -> Result<Stream, StreamingError> {
        let (replied, reply) = oneshot::channel();
        let stream = {
            let _in_order = self.opening.lock().await;
            let id = self.next_id.fetch_add(2, Ordering::Relaxed);
            let stream = self.stream(id, headers.clone(), Some(replied), true);
            if !self.session.send(Frame::SynStream { id, fin: false, headers }).await {
                return Err(StreamingError::Disconnected);
            }
            stream
        };
        tokio::select! {
            // A reply counts even when the connection ended behind it.
            biased;
            replied = reply => replied.map_err(|_| StreamingError::Protocol { reason: "stream refused".into() })?,
            () = self.session.hangup().cancelled() => return Err(StreamingError::Disconnected),
        }
        Ok(stream)
    }

    fn stream(
        &self,
        id: u32,
        headers: Headers,
        replied: Option<oneshot::Sender<()>>,
        readable: bool,
    ) -> Stream {
        let (inbound, reader) = duplex(INBOUND_BYTES);
        let encode = move |bytes: &[u8]| Frame::Data { id, fin: false, bytes: Bytes::copy_from_slice(bytes) };
        let writer = self.session.writer(encode, Some(Frame::Data { id, fin: true, bytes: Bytes::new() }));
        let entry = Entry { inbound: readable.then_some(inbound), replied, reset: writer.reset_flag() };
        self.entries().insert(id, entry);
        Stream { id, headers, reader, writer }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Entry>> {
        self.entries.lock().expect("no holder panics")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Whoever reads a stream sees its end, whoever waits for a reply hears that none comes.
        self.connection.entries().clear();
    }
}

struct Reader {
    connection: Connection,
    side: Side,
    opened: mpsc::Sender<Stream>,
    accept: Accept,
    last_id: u32,
}

impl Reader {
    async fn run<Io: ByteStream>(mut self, mut io: ReadHalf<Io>) {
        if let Err(error) = self.read(&mut io).await {
            tracing::debug!(%error, "SPDY connection failed");
        }
    }

    async fn read<Io: ByteStream>(&mut self, io: &mut ReadHalf<Io>) -> io::Result<()> {
        let mut decoder = Decoder::new();
        loop {
            while let Some(frame) = decoder.next().map_err(io::Error::other)? {
                self.take(frame).await?;
            }
            decoder.buffer().reserve(16 * 1024);
            if io.read_buf(decoder.buffer()).await? == 0 {
                return Ok(());
            }
            self.connection.session.touch();
        }
    }

    async fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::SynStream { id, fin, headers } => self.syn(id, fin, headers).await?,
            Frame::SynReply { id, fin, .. } => self.replied(id, fin),
            Frame::Rst { id, .. } => {
                if let Some(entry) = self.connection.entries().remove(&id) {
                    entry.reset.store(true, Ordering::Relaxed);
                }
            }
            Frame::Data { id, fin, bytes } => self.data(id, fin, &bytes).await,
            Frame::Ping { id } => {
                // The peer's pings bear its parity; the others would be answers to ours, and we send none.
                if (id % 2 == 1) == (self.side == Side::Server) {
                    self.connection.session.send(Frame::Ping { id }).await;
                }
            }
            Frame::GoAway { .. } | Frame::Ignored => {}
        }
        Ok(())
    }

    async fn syn(&mut self, id: u32, fin: bool, headers: Headers) -> io::Result<()> {
        let peers = (id % 2 == 1) == (self.side == Side::Server);
        if !peers || id <= self.last_id {
            return Err(io::Error::other("stream id out of order"));
        }
        self.last_id = id;
        let crowded = self.connection.entries().len() >= STREAMS_MAX;
        if crowded || !(self.accept)(&headers) {
            let status = if crowded { RST_REFUSED_STREAM } else { RST_PROTOCOL_ERROR };
            self.connection.session.send(Frame::Rst { id, status }).await;
            return Ok(());
        }
        let stream = self.connection.stream(id, headers, None, !fin);
        self.connection.session.send(Frame::SynReply { id, fin: false, headers: Headers::new() }).await;
        // With nobody left to take it, the stream's drop tells the peer.
        self.opened.send(stream).await.ok();
        Ok(())
    }

    fn replied(&self, id: u32, fin: bool) {
        let mut entries = self.connection.entries();
        let Some(entry) = entries.get_mut(&id) else { return };
        if let Some(replied) = entry.replied.take() {
            // The opener may have given up.
            replied.send(()).ok();
        }
        if fin {
            entries.remove(&id);
        }
    }

    async fn data(&self, id: u32, fin: bool, bytes: &[u8]) {
        // Taken out while it is waited for; nobody else looks for it.
        let inbound = self.connection.entries().get_mut(&id).and_then(|entry| entry.inbound.take());
        if let Some(mut inbound) = inbound {
            let open = bytes.is_empty() || self.connection.session.deliver(&mut inbound, bytes).await;
            if open && !fin {
                if let Some(entry) = self.connection.entries().get_mut(&id) {
                    entry.inbound = Some(inbound);
                }
                return;
            }
        }
        if fin {
            self.connection.entries().remove(&id);
        }
    }
}

/// Writes frames to the network.
pub(crate) struct Sink<Io> {
    io: WriteHalf<Io>,
    encoder: Encoder,
    buffer: BytesMut,
}

/// Small frames are gathered up to this.
const GATHER_BYTES: usize = 16 * 1024;

impl<Io: ByteStream> Sink<Io> {
    fn new(io: WriteHalf<Io>) -> Self {
        Self { io, encoder: Encoder::new(), buffer: BytesMut::new() }
    }

    async fn write_out(&mut self) -> io::Result<()> {
        self.io.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }
}

impl<Io: ByteStream> FrameSink<Frame> for Sink<Io> {
    async fn write(&mut self, frame: Frame) -> io::Result<()> {
        self.encoder.encode(&frame, &mut self.buffer);
        if let Frame::Data { bytes, .. } = &frame {
            self.buffer.extend_from_slice(bytes);
        }
        if self.buffer.len() >= GATHER_BYTES { self.write_out().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.write_out().await?;
        self.io.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.io.shutdown().await
    }
}
