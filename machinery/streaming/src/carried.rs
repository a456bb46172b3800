//! The body of an answer as WebSocket messages: how a watch or a log comes to who can speak nothing else (browsers).
//!
//! Nothing is expected from the client but that it stays; what it sends is read and dropped.

use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use oarlock_base::TaskSpawner;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::handshake::{self, Accepted};
use crate::session::FrameSink as _;
use crate::{Body, BoxError, ByteStream, Rejection, websocket};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// A line of text, its end included: an event of a watch.
    Lines,
    /// Bytes behind their length, a big-endian `u32`: an event of a watch in protobuf. The length is left out.
    Prefixed,
    /// Bytes as they come, after an empty message that opens; as base64 where the client chose `base64.binary.k8s.io`.
    Pieces,
}

const PIECES: &[&str] = &["", "binary.k8s.io", "base64.binary.k8s.io"];
const BASE64_PIECES: &str = "base64.binary.k8s.io";
/// The largest event, with room for what stands around an object of the largest size.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A client that has asked for WebSocket, and will get a body over it.
pub struct Carrier {
    upgrade: OnUpgrade,
    response: Response<Body>,
    messages: Messages,
    base64: bool,
    spawner: TaskSpawner,
}

/// Whether a request asks for a WebSocket.
pub fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    handshake::is_websocket(request.headers())
}

pub(crate) fn accept<B>(
    spawner: TaskSpawner,
    request: &mut Request<B>,
    messages: Messages,
) -> Result<Carrier, Rejection> {
    // The protocol of events is nobody's choice; a browser wants to hear again what it asked for.
    let echoed = (messages != Messages::Pieces).then(|| request.headers_mut().remove(SEC_WEBSOCKET_PROTOCOL));
    let agreed = handshake::agree(request, &Accepted { spdy: &[], websocket: PIECES })?;
    let (mut response, base64) = (agreed.response, agreed.protocol == BASE64_PIECES);
    if let Some(protocol) = echoed.flatten().filter(|said| !said.as_bytes().contains(&b',')) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(Carrier { upgrade: hyper::upgrade::on(request), response, messages, base64, spawner })
}

impl Carrier {
    /// Answers the request, and sends `body` once the client has switched.
    pub fn carry<B>(self, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { upgrade, response, messages, base64, spawner } = self;
        let stop = spawner.shutdown().clone();
        spawner.spawn("websocket-body", async move {
            let sending = async {
                match upgrade.await {
                    Ok(io) => send(TokioIo::new(io), body, Cutter::new(messages, base64)).await,
                    Err(error) => tracing::debug!(%error, "a client did not switch to WebSocket"),
                }
            };
            // The server stops: its connections end.
            let _ = stop.or(sending).await;
        });
        response
    }
}

async fn send<B>(io: impl ByteStream, body: B, mut cutter: Cutter)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut sink, mut incoming) = websocket::split(io, Role::Server).await;
    let mut body = pin!(body);
    let writing = async {
        if let Some(opening) = cutter.opening() {
            sink.write(opening).await?;
            sink.flush().await?;
        }
        while let Some(frame) = body.frame().await.and_then(Result::ok) {
            let Ok(data) = frame.into_data() else { continue };
            cutter.take(&data);
            while let Some(message) = cutter.next() {
                sink.write(message).await?;
            }
            if cutter.is_too_long() {
                break;
            }
            sink.flush().await?;
        }
        sink.write(websocket::close_message()).await?;
        sink.close().await
    };
    let reading = async { while let Some(Ok(_)) = incoming.next().await {} };
    tokio::select! {
        written = writing => if let Err(error) = written {
            tracing::debug!(%error, "a WebSocket client is gone");
        },
        () = reading => {}
    }
}

/// Cuts what comes into messages.
struct Cutter {
    messages: Messages,
    base64: bool,
    held: BytesMut,
}

impl Cutter {
    fn new(messages: Messages, base64: bool) -> Self {
        Self { messages, base64, held: BytesMut::new() }
    }

    fn opening(&self) -> Option<Message> {
        (self.messages == Messages::Pieces).then(|| self.piece(Bytes::new()))
    }

    fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What is held is no whole event, and more than one may be.
    fn is_too_long(&self) -> bool {
        self.held.len() > EVENT_BYTES_MAX
    }

    fn next(&mut self) -> Option<Message> {
        match self.messages {
            Messages::Lines => {
                let end = self.held.iter().position(|byte| *byte == b'\n')? + 1;
                let line = self.held.split_to(end);
                Some(Message::text(String::from_utf8_lossy(&line).into_owned()))
            }
            Messages::Prefixed => {
                let length = u32::from_be_bytes(self.held.get(..4)?.try_into().ok()?) as usize;
                self.held.get(4..)?.get(..length)?;
                self.held.advance(4);
                Some(Message::Binary(self.held.split_to(length).freeze()))
            }
            Messages::Pieces if self.held.is_empty() => None,
            Messages::Pieces => {
                let bytes = self.held.split().freeze();
                Some(self.piece(bytes))
            }
        }
    }

    fn piece(&self, bytes: Bytes) -> Message {
        if self.base64 { Message::text(BASE64.encode(bytes)) } else { Message::Binary(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(messages: Messages, base64: bool, pieces: &[&[u8]], want: &[&[u8]]) {
        let mut cutter = Cutter::new(messages, base64);
        let mut got = Vec::new();
        for piece in pieces {
            cutter.take(piece);
            while let Some(message) = cutter.next() {
                assert_eq!(message.is_text(), base64 || messages == Messages::Lines);
                got.push(message.into_data().to_vec());
            }
        }
        assert_eq!(got, want, "{messages:?}");
    }

    #[test]
    fn bodies_are_cut_where_events_end() {
        check(Messages::Lines, false, &[b"{1}\n{2", b"}\n", b"{3}"], &[b"{1}\n", b"{2}\n"]);
        let prefixed: &[&[u8]] = &[b"\0\0\0\x02ab\0\0", b"\0\x01", b"c\0\0\0\0", b"\0\0\0\x09d"];
        check(Messages::Prefixed, false, prefixed, &[b"ab", b"c", b""]);
        check(Messages::Pieces, false, &[b"one\ntwo", b"\xff"], &[b"one\ntwo", b"\xff"]);
        check(Messages::Pieces, true, &[b"one"], &[b"b25l"]);
    }
}
