//! WebSocket: channels, one message a piece, its first byte the channel; and a byte stream for SPDY inside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf as _, Bytes};
use futures::stream::{SplitSink, SplitStream};
use futures::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use crate::ByteStream;
use crate::session::{CHUNK, FrameSink, FrameWriter, Session};

/// The largest message that is accepted: what upstream's server takes.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// In v5, a message on this channel closes the channel that its second byte names.
const CLOSE_CHANNEL: u8 = 255;

pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// How channels are written into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) base64: bool,
    /// v5: channels can be closed alone.
    pub(crate) close: bool,
}

/// What a received message means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Data { channel: u8, bytes: Bytes },
    Close { channel: u8 },
    Nothing,
}

impl Codec {
    pub(crate) fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            BASE64.encode_string(bytes, &mut text);
            return Message::Text(text.into());
        }
        let mut message = Vec::with_capacity(1 + bytes.len());
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::Binary(message.into())
    }

    /// The frame that half-closes a channel, where the protocol has one.
    pub(crate) fn close(self, channel: u8) -> Option<Message> {
        self.close.then(|| Message::Binary(vec![CLOSE_CHANNEL, channel].into()))
    }

    pub(crate) fn decode(self, mut message: Bytes) -> Received {
        if message.is_empty() {
            return Received::Nothing;
        }
        let channel = message.get_u8();
        if !self.base64 {
            return match (channel, message.first()) {
                (CLOSE_CHANNEL, Some(&channel)) if self.close => Received::Close { channel },
                (CLOSE_CHANNEL, _) => Received::Nothing,
                _ => Received::Data { channel, bytes: message },
            };
        }
        match (channel.checked_sub(b'0'), BASE64.decode(&message)) {
            (Some(channel), Ok(bytes)) => Received::Data { channel, bytes: bytes.into() },
            _ => Received::Nothing,
        }
    }
}

/// The closing message of a session that went well.
pub(crate) fn close_message() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// The halves of an upgraded connection.
pub(crate) async fn split<Io: ByteStream>(
    io: Io,
    role: Role,
) -> (Sink<Io>, SplitStream<WebSocketStream<Io>>) {
    let (sink, stream) = WebSocketStream::from_raw_socket(io, role, Some(config())).await.split();
    (Sink(sink), stream)
}

/// The writing end of a channel.
pub(crate) fn channel_writer(session: &Session<Message>, codec: Codec, channel: u8) -> FrameWriter<Message> {
    session.writer(move |bytes| codec.encode(channel, bytes), codec.close(channel))
}

/// Reads messages into channels until the peer goes; channels without a stream are ignored, as upstream does.
pub(crate) async fn demultiplex<Io: ByteStream>(
    mut stream: SplitStream<WebSocketStream<Io>>,
    session: Session<Message>,
    codec: Codec,
    mut channels: Vec<Option<DuplexStream>>,
) {
    while let Some(Ok(message)) = stream.next().await {
        session.touch();
        let payload = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            // Pings are answered below us. After a close the stream ends by itself.
            _ => continue,
        };
        match codec.decode(payload) {
            Received::Data { channel, bytes } => {
                let Some(slot) = channels.get_mut(usize::from(channel)) else { continue };
                if let Some(inbound) = slot
                    && !session.deliver(inbound, &bytes).await
                {
                    *slot = None;
                }
            }
            Received::Close { channel } => {
                if let Some(slot) = channels.get_mut(usize::from(channel)) {
                    *slot = None;
                }
            }
            Received::Nothing => {}
        }
    }
}

/// Writes messages to the network.
pub(crate) struct Sink<Io>(SplitSink<WebSocketStream<Io>, Message>);

fn other(error: tokio_tungstenite::tungstenite::Error) -> io::Error {
    io::Error::other(error)
}

impl<Io: ByteStream> FrameSink<Message> for Sink<Io> {
    async fn write(&mut self, frame: Message) -> io::Result<()> {
        self.0.feed(frame).await.map_err(other)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await.map_err(other)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.close().await.map_err(other)
    }
}

/// The bytes inside the binary messages of a WebSocket.
pub(crate) struct Tunnel<Io> {
    socket: WebSocketStream<Io>,
    unread: Bytes,
}

impl<Io: ByteStream> Tunnel<Io> {
    pub(crate) async fn new(io: Io, role: Role) -> Self {
        let socket = WebSocketStream::from_raw_socket(io, role, Some(config())).await;
        Self { socket, unread: Bytes::new() }
    }
}

impl<Io: ByteStream> AsyncRead for Tunnel<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(other(error))),
            }
        }
        let taken = self.unread.len().min(out.remaining());
        out.put_slice(&self.unread.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<Io: ByteStream> AsyncWrite for Tunnel<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(other)?;
        let taken = bytes.len().min(CHUNK);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..taken]));
        Pin::new(&mut self.socket).start_send(message).map_err(other)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strange_messages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), base64: bool, close: bool) {
            Codec { base64, close }.decode(bytes.into());
        }

        #[test]
        fn what_is_encoded_is_decoded(channel in 0u8..5, bytes in prop::collection::vec(any::<u8>(), 0..64), base64: bool) {
            let codec = Codec { base64, close: true };
            let want = Received::Data { channel, bytes: bytes.clone().into() };
            prop_assert_eq!(codec.decode(codec.encode(channel, &bytes).into_data()), want);
        }
    }

    #[test]
    fn channels_close_alone_in_v5_only() {
        let message = || Bytes::from_static(&[255, 0]);
        assert_eq!(Codec { base64: false, close: true }.decode(message()), Received::Close { channel: 0 });
        assert_eq!(Codec { base64: false, close: false }.decode(message()), Received::Nothing);
    }
}
