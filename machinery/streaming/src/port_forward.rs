//! The streams of a port-forward session, and both ways to them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use http::{Request, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, duplex, join};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::handshake::{self, Accepted, Agreed, PORT_FORWARD_TUNNEL};
use crate::options::form_pairs;
use crate::remote_command::upgraded;
use crate::session::{Finisher, INBOUND_BYTES, session};
use crate::spdy::{self, Frame, GO_AWAY, Headers, Side, Stream, header};
use crate::websocket::{self, Codec, Tunnel};
use crate::{Body, ByteStream, Pending, Reader, Rejection, Streaming, StreamingError, Transport, Writer};

/// Ports of one session over WebSocket channels; a channel is one byte, a port takes two.
const PORTS_MAX: usize = 127;

/// The server's end of a session: hands out forwarded connections as the client opens them. Dropping it closes the
/// session with all its streams: keep it until `next` gives `None`.
pub struct PortForwardConnection(Kind);

enum Kind {
    Spdy(Pairing),
    Channels {
        streams: VecDeque<PortForwardStream>,
        /// Cancelled when every stream handed out was dropped.
        done: CancellationToken,
        hangup: CancellationToken,
        _finisher: Finisher<Message>,
    },
}

impl PortForwardConnection {
    /// The next connection that the client wants; `None` when the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<PortForwardStream> {
        match &mut self.0 {
            Kind::Spdy(pairing) => pairing.next().await,
            Kind::Channels { streams, done, hangup, .. } => {
                if let Some(stream) = streams.pop_front() {
                    return Some(stream);
                }
                tokio::select! {
                    () = done.cancelled() => None,
                    () = hangup.cancelled() => None,
                }
            }
        }
    }
}

/// One forwarded connection.
pub struct PortForwardStream {
    pub port: u16,
    pub data: Box<dyn ByteStream>,
    pub error: PortForwardError,
}

/// Where a forwarded connection's failure is told; dropping it says that all went well.
pub struct PortForwardError {
    writer: Writer,
    _open: Option<Arc<DropGuard>>,
}

impl PortForwardError {
    /// Tells the client why the port could not be forwarded.
    pub async fn fail(mut self, message: &str) {
        if self.writer.write_all(message.as_bytes()).await.is_ok() {
            // A client that has gone needs no word of it.
            self.writer.shutdown().await.ok();
        }
    }
}

/// Joins the error and data streams of one request.
struct Pairing {
    opened: mpsc::Receiver<Stream>,
    waiting: HashMap<String, Half>,
    creation_timeout: std::time::Duration,
    _finisher: Finisher<Frame>,
}

/// A stream whose other half has not come.
struct Half {
    stream: Stream,
    is_error: bool,
    due: Instant,
}

impl Pairing {
    async fn next(&mut self) -> Option<PortForwardStream> {
        loop {
            let due = self.waiting.values().map(|half| half.due).min();
            tokio::select! {
                stream = self.opened.recv() => {
                    if let Some(pair) = self.pair(stream?).await {
                        return Some(pair);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire().await,
            }
        }
    }

    async fn pair(&mut self, stream: Stream) -> Option<PortForwardStream> {
        let is_error = stream.header("streamtype") == Some("error");
        let request = request_id(&stream, is_error);
        let Some(other) = self.waiting.remove(&request) else {
            let due = Instant::now() + self.creation_timeout;
            self.waiting.insert(request, Half { stream, is_error, due });
            return None;
        };
        if other.is_error == is_error {
            let kind = if is_error { "error" } else { "data" };
            let text =
                format!("error processing stream for request {request}: {kind} stream already assigned");
            tell(stream, is_error, &text).await;
            self.waiting.insert(request, other);
            return None;
        }
        let (data, error) = if is_error { (other.stream, stream) } else { (stream, other.stream) };
        let port = port_of(&data.headers)?;
        let error = PortForwardError { writer: Box::new(error.writer), _open: None };
        Some(PortForwardStream { port, data: Box::new(join(data.reader, data.writer)), error })
    }

    async fn expire(&mut self) {
        let now = Instant::now();
        let late: Vec<String> =
            self.waiting.iter().filter(|(_, half)| half.due <= now).map(|(id, _)| id.clone()).collect();
        for request in late {
            if let Some(half) = self.waiting.remove(&request) {
                tell(
                    half.stream,
                    half.is_error,
                    &format!("(request={request}) timed out waiting for streams"),
                )
                .await;
            }
        }
    }
}

async fn tell(mut stream: Stream, is_error: bool, text: &str) {
    if is_error {
        // A client that has gone needs no word of it.
        stream.writer.write_all(text.as_bytes()).await.ok();
    }
}

/// Clients of old send no request id; theirs come as an error stream and then the data stream.
fn request_id(stream: &Stream, is_error: bool) -> String {
    match stream.header("requestid") {
        Some(id) if !id.is_empty() => id.to_string(),
        _ if is_error => stream.id.to_string(),
        _ => stream.id.wrapping_sub(2).to_string(),
    }
}

fn port_of(headers: &Headers) -> Option<u16> {
    header(headers, "port").and_then(|port| port.parse().ok()).filter(|port| *port > 0)
}

fn acceptable(headers: &Headers) -> bool {
    port_of(headers).is_some() && matches!(header(headers, "streamtype"), Some("error" | "data"))
}

pub(crate) fn accept<B>(
    streaming: Streaming,
    request: &mut Request<B>,
) -> Result<(Response<Body>, Pending<PortForwardConnection>), Rejection> {
    let accepted =
        Accepted { spdy: handshake::PORT_FORWARD_SPDY, websocket: handshake::PORT_FORWARD_WEBSOCKET };
    let Agreed { transport, protocol, response } = handshake::agree(request, &accepted)?;
    let channels = transport == Transport::WebSocket && protocol != PORT_FORWARD_TUNNEL;
    let ports = if channels { ports(request.uri().query().unwrap_or_default())? } else { Vec::new() };
    let upgrade = hyper::upgrade::on(request);
    let pending = async move {
        let io = upgraded(upgrade).await?;
        Ok(PortForwardConnection(match transport {
            Transport::Spdy => Kind::Spdy(over_spdy(&streaming, io)),
            Transport::WebSocket if channels => over_channels(&streaming, io, protocol, &ports).await,
            Transport::WebSocket => Kind::Spdy(over_spdy(&streaming, Tunnel::new(io, Role::Server).await)),
        }))
    };
    Ok((response, pending.boxed()))
}

/// The ports of a query: `ports` (API) or `port` (kubelet, CRI), repeated or separated by commas.
fn ports(query: &str) -> Result<Vec<u16>, Rejection> {
    let bad = |reason: String| Rejection::BadPorts { reason };
    let mut ports = Vec::new();
    for (_, value) in form_pairs(query).filter(|(name, _)| name == "ports" || name == "port") {
        if value.is_empty() {
            return Err(bad("query parameter \"port\" cannot be empty".to_string()));
        }
        for port in value.split(',') {
            let parsed: u16 =
                port.parse().map_err(|e| bad(format!("unable to parse {value:?} as a port: {e}")))?;
            if parsed == 0 {
                return Err(bad(format!("port {value:?} must be > 0")));
            }
            ports.push(parsed);
        }
    }
    match ports.len() {
        0 => Err(bad("query parameter \"port\" is required".to_string())),
        1..=PORTS_MAX => Ok(ports),
        _ => Err(bad(format!("at most {PORTS_MAX} ports can be forwarded over one WebSocket"))),
    }
}

fn over_spdy(streaming: &Streaming, io: impl ByteStream) -> Pairing {
    let (session, driver, finisher) = session(vec![GO_AWAY]);
    let (_, opened, sink, read) = spdy::connect(io, Side::Server, session, acceptable);
    streaming.drive(driver, sink, read);
    let creation_timeout = streaming.creation_timeout;
    Pairing { opened, waiting: HashMap::new(), creation_timeout, _finisher: finisher }
}

async fn over_channels(streaming: &Streaming, io: TokioIo<Upgraded>, protocol: &str, ports: &[u16]) -> Kind {
    let codec = Codec { base64: protocol.contains("base64"), close: false };
    let (session, driver, finisher) = session(vec![websocket::close_message()]);
    let hangup = session.hangup().clone();
    let done = CancellationToken::new();
    let open = Arc::new(done.clone().drop_guard());
    let (mut channels, mut streams, mut greetings) = (Vec::new(), VecDeque::new(), Vec::new());
    for (at, port) in ports.iter().enumerate() {
        let data_channel = u8::try_from(at * 2).expect("PORTS_MAX keeps channels in a byte");
        let (inbound, reader) = duplex(INBOUND_BYTES);
        channels.extend([Some(inbound), None]);
        greetings.extend([data_channel, data_channel + 1].map(|c| codec.encode(c, &port.to_le_bytes())));
        let data = join(reader, websocket::channel_writer(&session, codec, data_channel));
        let writer = Box::new(websocket::channel_writer(&session, codec, data_channel + 1));
        let error = PortForwardError { writer, _open: Some(open.clone()) };
        streams.push_back(PortForwardStream { port: *port, data: Box::new(data), error });
    }
    drop(open);
    let (sink, stream) = websocket::split(io, Role::Server).await;
    let read = websocket::demultiplex(stream, session.clone(), codec, channels);
    streaming.drive(driver, sink, read);
    for greeting in greetings {
        session.send(greeting).await;
    }
    Kind::Channels { streams, done, hangup, _finisher: finisher }
}

/// The client's end of a session; dropping it closes the session.
pub struct PortForwardClient {
    connection: spdy::Connection,
    requests: AtomicU64,
    _finisher: Finisher<Frame>,
}

impl PortForwardClient {
    pub(crate) fn start(streaming: &Streaming, io: impl ByteStream) -> Self {
        let (session, driver, finisher) = session(vec![GO_AWAY]);
        let (connection, _, sink, read) = spdy::connect(io, Side::Client, session, |_| false);
        streaming.drive(driver, sink, read);
        Self { connection, requests: AtomicU64::new(0), _finisher: finisher }
    }

    /// Opens a connection to a port of the pod: its bytes, and where the server tells of a failure (read it to its
    /// end: empty is success).
    pub async fn open(&self, port: u16) -> Result<(Box<dyn ByteStream>, Reader), StreamingError> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed).to_string();
        let headers = |kind: &str| {
            [("streamtype", kind), ("port", &port.to_string()), ("requestid", &request)]
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .to_vec()
        };
        let error = self.connection.open(headers("error")).await?;
        let data = self.connection.open(headers("data")).await?;
        Ok((Box::new(join(data.reader, data.writer)), Box::new(error.reader)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_query() {
        assert_eq!(ports("ports=80&ports=443,8080"), Ok(vec![80, 443, 8080]));
        assert_eq!(ports("port=1"), Ok(vec![1]));
        for bad in ["", "ports=", "ports=0", "ports=x", "ports=70000"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert!(ports(&format!("ports={}", vec!["1"; 128].join(","))).is_err());
    }
}
