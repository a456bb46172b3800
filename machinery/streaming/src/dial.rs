//! The client's way to the streams.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::handshake::{self, PORT_FORWARD_SPDY, PORT_FORWARD_TUNNEL};
use crate::remote_command::{channel, upgraded};
use crate::session::{INBOUND_BYTES, session};
use crate::spdy::{self, GO_AWAY, Side};
use crate::websocket::{self, Codec, Tunnel};
use crate::{
    ByteStream, DialError, ExitWaiter, PortForwardClient, Reader, RemoteCommandClient, RemoteCommandOptions,
    Streaming, StreamingError, TerminalSize, Transport, Writer, resize,
};

/// How much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// What a client of ours speaks, best first: all that tell the exit code.
const REMOTE_COMMAND_WEBSOCKET: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];
const REMOTE_COMMAND_SPDY: &[&str] = &["v4.channel.k8s.io"];

pub(crate) async fn remote_command(
    streaming: &Streaming,
    io: impl ByteStream,
    request: Request<()>,
    mut options: RemoteCommandOptions,
    transport: Transport,
) -> Result<RemoteCommandClient, DialError> {
    options.stderr &= !options.tty;
    let offered = match transport {
        Transport::WebSocket => REMOTE_COMMAND_WEBSOCKET,
        Transport::Spdy => REMOTE_COMMAND_SPDY,
    };
    let (io, protocol) = upgrade(streaming, io, request, transport, offered).await?;
    match transport {
        Transport::WebSocket => Ok(over_websocket(streaming, io, protocol, &options).await),
        Transport::Spdy => {
            over_spdy(streaming, io, &options).await.map_err(|source| DialError::Streams { source })
        }
    }
}

pub(crate) async fn port_forward(
    streaming: &Streaming,
    io: impl ByteStream,
    request: Request<()>,
    transport: Transport,
) -> Result<PortForwardClient, DialError> {
    let offered = match transport {
        Transport::WebSocket => &[PORT_FORWARD_TUNNEL],
        Transport::Spdy => PORT_FORWARD_SPDY,
    };
    let (io, _) = upgrade(streaming, io, request, transport, offered).await?;
    Ok(match transport {
        Transport::WebSocket => PortForwardClient::start(streaming, Tunnel::new(io, Role::Client).await),
        Transport::Spdy => PortForwardClient::start(streaming, io),
    })
}

/// Sends the upgrade request; gives the connection and the protocol that the server chose.
async fn upgrade(
    streaming: &Streaming,
    io: impl ByteStream,
    mut request: Request<()>,
    transport: Transport,
    offered: &[&'static str],
) -> Result<(TokioIo<Upgraded>, &'static str), DialError> {
    // Upstream's clients post for SPDY and get for WebSocket; servers take both for SPDY.
    *request.method_mut() = if transport == Transport::Spdy { Method::POST } else { Method::GET };
    let key = handshake::offer(request.headers_mut(), transport, offered);
    let request = request.map(|()| Empty::<Bytes>::new());
    let mut response = crate::tunnel::send(&streaming.spawner, request, io)
        .await
        .map_err(|source| DialError::Http { source })?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(DialError::Refused {
            status,
            message: String::from_utf8_lossy(&body).trim().to_string(),
        });
    }
    let protocol = handshake::chosen(response.headers(), key.as_deref(), offered)
        .map_err(|reason| DialError::Handshake { reason })?;
    let io = upgraded(hyper::upgrade::on(&mut response)).await;
    Ok((io.map_err(|source| DialError::Streams { source })?, protocol))
}

async fn over_websocket(
    streaming: &Streaming,
    io: TokioIo<Upgraded>,
    protocol: &str,
    options: &RemoteCommandOptions,
) -> RemoteCommandClient {
    let codec = Codec { base64: false, close: protocol.starts_with("v5.") };
    let (session, driver, finisher) = session(vec![websocket::close_message()]);
    let mut channels: Vec<Option<DuplexStream>> = (0..channel::COUNT).map(|_| None).collect();
    let mut open = |channel: u8| {
        let (inbound, reader) = duplex(INBOUND_BYTES);
        channels[usize::from(channel)] = Some(inbound);
        Box::new(reader) as Reader
    };
    let stdout = options.stdout.then(|| open(channel::STDOUT));
    let stderr = options.stderr.then(|| open(channel::STDERR));
    let error = open(channel::ERROR);
    let writer = |channel| Box::new(websocket::channel_writer(&session, codec, channel)) as Writer;
    let stdin = options.stdin.then(|| writer(channel::STDIN));
    let resize = options.tty.then(|| sizes(streaming, writer(channel::RESIZE)));
    let (sink, stream) = websocket::split(io, Role::Client).await;
    let read = websocket::demultiplex(stream, session, codec, channels);
    streaming.drive(driver, sink, read);
    let exit = ExitWaiter { error, _connection: Box::new(finisher) };
    RemoteCommandClient { stdin, stdout, stderr, resize, exit }
}

async fn over_spdy(
    streaming: &Streaming,
    io: TokioIo<Upgraded>,
    options: &RemoteCommandOptions,
) -> Result<RemoteCommandClient, StreamingError> {
    let (session, driver, finisher) = session(vec![GO_AWAY]);
    let (connection, _, sink, read) = spdy::connect(io, Side::Client, session, |_| false);
    streaming.drive(driver, sink, read);
    let open = async |kind: &str, on: bool| match on {
        true => connection.open(vec![("streamtype".to_string(), kind.to_string())]).await.map(Some),
        false => Ok(None),
    };
    let error = open("error", true).await?.expect("asked for");
    let stdin = open("stdin", options.stdin).await?;
    let stdout = open("stdout", options.stdout).await?;
    let stderr = open("stderr", options.stderr).await?;
    let resize = open("resize", options.tty).await?;
    // The directions that are not used are half-closed by the drop of their writers.
    let reader = |stream: spdy::Stream| Box::new(stream.reader) as Reader;
    let writer = |stream: spdy::Stream| Box::new(stream.writer) as Writer;
    let exit = ExitWaiter { error: reader(error), _connection: Box::new(finisher) };
    Ok(RemoteCommandClient {
        stdin: stdin.map(writer),
        stdout: stdout.map(reader),
        stderr: stderr.map(reader),
        resize: resize.map(|stream| sizes(streaming, writer(stream))),
        exit,
    })
}

fn sizes(streaming: &Streaming, mut writer: Writer) -> mpsc::Sender<TerminalSize> {
    let (sender, mut sizes) = mpsc::channel::<TerminalSize>(resize::SIZES);
    let stop = streaming.spawner.shutdown().clone();
    streaming.spawner.spawn("terminal-sizes", async move {
        let write = async {
            while let Some(size) = sizes.recv().await {
                let object = serde_json::to_vec(&size).expect("two numbers are JSON");
                if writer.write_all(&object).await.is_err() {
                    break;
                }
            }
        };
        stop.or(write).await;
    });
    sender
}
