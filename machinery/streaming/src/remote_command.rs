//! The streams of a remote command, and the server's way to them.

use futures::FutureExt as _;
use http::{Request, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::duplex;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_util::sync::CancellationToken;

use crate::handshake::{self, Accepted, Agreed};
use crate::session::{Finisher, INBOUND_BYTES, session};
use crate::spdy::{self, Frame, GO_AWAY, Side};
use crate::websocket::{self, Codec};
use crate::{
    Body, Pending, Reader, Rejection, RemoteCommandOptions, Streaming, StreamingError, TerminalSize,
    Transport, Writer, resize, status,
};

/// The channels of a remote command in a WebSocket.
pub(crate) mod channel {
    pub(crate) const STDIN: u8 = 0;
    pub(crate) const STDOUT: u8 = 1;
    pub(crate) const STDERR: u8 = 2;
    pub(crate) const ERROR: u8 = 3;
    pub(crate) const RESIZE: u8 = 4;
    pub(crate) const COUNT: usize = 5;
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// It ran and returned another code than 0.
    Code(i32),
    /// It could not be run, or not be watched to its end. Clients see it behind "Internal error occurred: ".
    Error(String),
}

/// The server's end of a remote command. Take the fields apart; dropping `outcome` unfinished tells the client that the
/// command failed.
pub struct RemoteCommandStreams {
    pub stdin: Option<Reader>,
    pub stdout: Option<Writer>,
    pub stderr: Option<Writer>,
    /// The terminal's sizes, when there is a terminal. Only the latest matters.
    pub resize: Option<mpsc::Receiver<TerminalSize>>,
    pub outcome: Outcome,
    /// Cancelled when the connection ends, whoever ended it.
    pub hangup: CancellationToken,
}

/// Where a command's end is told.
pub struct Outcome {
    ending: Option<Ending>,
    /// v4 and later: a Status, not a text.
    structured: bool,
}

enum Ending {
    Spdy {
        finisher: Finisher<Frame>,
        error_id: u32,
        /// Streams that are closed last.
        outputs: Vec<u32>,
    },
    WebSocket {
        finisher: Finisher<Message>,
        codec: Codec,
    },
}

impl Outcome {
    /// Tells the client how the command ended, after all that was written to stdout and stderr, and closes the
    /// connection. Returns when everything is handed to the network, or `Disconnected` if the client left first.
    pub async fn finish(mut self, exit: Exit) -> Result<(), StreamingError> {
        let bytes = status::encode(&exit, self.structured);
        let finished = match self.ending.take() {
            Some(Ending::Spdy { finisher, error_id, outputs }) => {
                finisher.finish(spdy_end(error_id, &outputs, bytes)).await
            }
            Some(Ending::WebSocket { finisher, codec }) => finisher.finish(websocket_end(codec, bytes)).await,
            None => false,
        };
        if finished { Ok(()) } else { Err(StreamingError::Disconnected) }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        let exit = Exit::Error("the command was given up".to_string());
        let bytes = status::encode(&exit, self.structured);
        match ending {
            Ending::Spdy { finisher, error_id, outputs } => {
                finisher.finish_soon(spdy_end(error_id, &outputs, bytes));
            }
            Ending::WebSocket { finisher, codec } => finisher.finish_soon(websocket_end(codec, bytes)),
        }
    }
}

fn spdy_end(error: u32, outputs: &[u32], status: Option<Vec<u8>>) -> Vec<Frame> {
    let last = |id: u32, bytes: Vec<u8>| Frame::Data { id, fin: true, bytes: bytes.into() };
    let mut frames: Vec<Frame> = outputs.iter().map(|id| last(*id, Vec::new())).collect();
    frames.extend([last(error, status.unwrap_or_default()), GO_AWAY]);
    frames
}

fn websocket_end(codec: Codec, status: Option<Vec<u8>>) -> Vec<Message> {
    let status = status.map(|bytes| codec.encode(channel::ERROR, &bytes));
    status.into_iter().chain([websocket::close_message()]).collect()
}

/// The client's end of a remote command.
pub struct RemoteCommandClient {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    pub exit: ExitWaiter,
}

/// Waits for the command's end; dropping it closes the connection.
pub struct ExitWaiter {
    pub(crate) error: Reader,
    pub(crate) _connection: Box<dyn Send + Sync>,
}

impl ExitWaiter {
    /// How the command ended. Read stdout and stderr meanwhile: they share the connection.
    pub async fn wait(self) -> Result<Exit, StreamingError> {
        use tokio::io::AsyncReadExt as _;
        let mut bytes = Vec::new();
        let read = self.error.take(INBOUND_BYTES as u64).read_to_end(&mut bytes).await;
        read.map_err(|_| StreamingError::Disconnected)?;
        status::decode(&bytes)
    }
}

pub(crate) fn accept<B>(
    streaming: Streaming,
    request: &mut Request<B>,
    mut options: RemoteCommandOptions,
) -> Result<(Response<Body>, Pending<RemoteCommandStreams>), Rejection> {
    if options.tty {
        options.stderr = false;
    }
    if !options.any() {
        return Err(Rejection::NoStreams);
    }
    let accepted =
        Accepted { spdy: handshake::REMOTE_COMMAND_SPDY, websocket: handshake::REMOTE_COMMAND_WEBSOCKET };
    let Agreed { transport, protocol, response } = handshake::agree(request, &accepted)?;
    let upgrade = hyper::upgrade::on(request);
    let pending = async move {
        let io = upgraded(upgrade).await?;
        match transport {
            Transport::WebSocket => Ok(over_websocket(&streaming, io, protocol, &options).await),
            Transport::Spdy => over_spdy(&streaming, io, protocol, &options).await,
        }
    };
    Ok((response, pending.boxed()))
}

pub(crate) async fn upgraded(upgrade: OnUpgrade) -> Result<TokioIo<Upgraded>, StreamingError> {
    upgrade.await.map(TokioIo::new).map_err(|source| StreamingError::Upgrade { source })
}

fn is_structured(protocol: &str) -> bool {
    protocol.starts_with("v4.") || protocol.starts_with("v5.")
}

async fn over_websocket(
    streaming: &Streaming,
    io: TokioIo<Upgraded>,
    protocol: &str,
    options: &RemoteCommandOptions,
) -> RemoteCommandStreams {
    let codec = Codec { base64: protocol.contains("base64"), close: protocol.starts_with("v5.") };
    let (session, driver, finisher) = session(vec![websocket::close_message()]);
    let mut channels: Vec<_> = (0..channel::COUNT).map(|_| None).collect();
    let mut open = |channel: u8| {
        let (inbound, reader) = duplex(INBOUND_BYTES);
        channels[usize::from(channel)] = Some(inbound);
        reader
    };
    let stdin = options.stdin.then(|| Box::new(open(channel::STDIN)) as Reader);
    let resize = options.tty.then(|| sizes(streaming, open(channel::RESIZE)));
    // Output has no half-close of its own: clients know no close message from a server.
    let outward = Codec { close: false, ..codec };
    let writer = |on: bool, channel: u8| {
        on.then(|| Box::new(websocket::channel_writer(&session, outward, channel)) as Writer)
    };
    let stdout = writer(options.stdout, channel::STDOUT);
    let stderr = writer(options.stderr, channel::STDERR);
    // An empty message on the lowest output tells clients that the connection stands; upstream does so.
    let first = match (options.stdout, options.stderr) {
        (true, _) => channel::STDOUT,
        (_, true) => channel::STDERR,
        _ => channel::ERROR,
    };
    session.send(codec.encode(first, &[])).await;
    let (sink, stream) = websocket::split(io, Role::Server).await;
    let hangup = session.hangup().clone();
    let read = websocket::demultiplex(stream, session, codec, channels);
    streaming.drive(driver, sink, read);
    let ending = Some(Ending::WebSocket { finisher, codec });
    let outcome = Outcome { ending, structured: is_structured(protocol) };
    RemoteCommandStreams { stdin, stdout, stderr, resize, outcome, hangup }
}

async fn over_spdy(
    streaming: &Streaming,
    io: TokioIo<Upgraded>,
    protocol: &str,
    options: &RemoteCommandOptions,
) -> Result<RemoteCommandStreams, StreamingError> {
    let (session, driver, finisher) = session(vec![GO_AWAY]);
    let hangup = session.hangup().clone();
    let (_, mut opened, sink, read) = spdy::connect(io, Side::Server, session, |_| true);
    streaming.drive(driver, sink, read);
    let resizes = options.tty && !matches!(protocol, "v2.channel.k8s.io" | "channel.k8s.io");
    let want = [
        ("error", true),
        ("stdin", options.stdin),
        ("stdout", options.stdout),
        ("stderr", options.stderr),
        ("resize", resizes),
    ];
    let collected = collect(&mut opened, want.map(|(name, on)| on.then_some(name)));
    let collected = tokio::time::timeout(streaming.creation_timeout, collected).await;
    let [error, stdin, stdout, stderr, terminal] =
        collected.map_err(|_| StreamingError::CreationTimeout)??;
    let error = error.expect("always collected");
    let outputs = stdout.iter().chain(&stderr).map(|stream| stream.id).collect();
    let error_id = error.id;
    // The error stream is written by the end; what clients only write to is closed with the connection, not before.
    error.writer.leave_open();
    let reader = |stream: spdy::Stream| {
        stream.writer.leave_open();
        stream.reader
    };
    let stdin = stdin.map(|stream| Box::new(reader(stream)) as Reader);
    let resize = terminal.map(|stream| sizes(streaming, reader(stream)));
    let writer = |stream: spdy::Stream| Box::new(stream.writer) as Writer;
    let (stdout, stderr) = (stdout.map(writer), stderr.map(writer));
    let ending = Some(Ending::Spdy { finisher, error_id, outputs });
    let outcome = Outcome { ending, structured: is_structured(protocol) };
    Ok(RemoteCommandStreams { stdin, stdout, stderr, resize, outcome, hangup })
}

/// Waits for the streams of the given types; others are let go.
async fn collect<const N: usize>(
    opened: &mut mpsc::Receiver<spdy::Stream>,
    want: [Option<&str>; N],
) -> Result<[Option<spdy::Stream>; N], StreamingError> {
    let mut have = [const { None }; N];
    while want.iter().zip(&have).any(|(want, have)| want.is_some() && have.is_none()) {
        let stream = opened.recv().await.ok_or(StreamingError::Disconnected)?;
        let kind = stream.header("streamtype");
        if let Some(at) = want.iter().position(|want| want.is_some() && *want == kind) {
            have[at] = Some(stream);
        }
    }
    Ok(have)
}

fn sizes(streaming: &Streaming, stream: tokio::io::DuplexStream) -> mpsc::Receiver<TerminalSize> {
    let (sender, receiver) = mpsc::channel(resize::SIZES);
    let stop = streaming.spawner.shutdown().clone();
    streaming.spawner.spawn("terminal-sizes", async move {
        stop.or(resize::pump(stream, sender)).await;
    });
    receiver
}
