//! Doors for the fuzzer (`fuzz/`): the parsers of what a peer sends, as plain functions that panic when a promise is
//! broken. Not an interface for anybody else.

use std::io::Cursor;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::spdy::{Decoder, Encoder, Frame};
use crate::websocket::{self, Codec};

/// Reads SPDY frames in one piece and in small ones: the same frames must come, and survive being written.
pub fn spdy(bytes: &[u8], step: usize) -> String {
    let whole = spdy_frames(bytes, bytes.len().max(1));
    let pieces = spdy_frames(bytes, step.max(1));
    assert_eq!(whole, pieces, "frames depend on how bytes arrive");
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new();
    for frame in whole.0.iter().filter(|frame| **frame != Frame::Ignored) {
        encoder.encode(frame, &mut out);
        if let Frame::Data { bytes, .. } = frame {
            out.put_slice(bytes);
        }
    }
    let again = spdy_frames(&out, out.len().max(1));
    let mut kept = Vec::new();
    // Data that an ignored frame stood between is joined when it is read again.
    whole.0.into_iter().filter(|frame| *frame != Frame::Ignored).for_each(|frame| join(&mut kept, frame));
    assert_eq!(again.0, kept, "frames change when they are written");
    let kinds: Vec<String> =
        again.0.iter().map(|frame| format!("{:?}", std::mem::discriminant(frame))).collect();
    format!("{kinds:?} {}", whole.1.unwrap_or_default())
}

/// The frames, with the pieces of one data frame joined, and the error that ended them.
fn spdy_frames(bytes: &[u8], step: usize) -> (Vec<Frame>, Option<String>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => join(&mut frames, frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

/// Consecutive data of one stream is one: where it is cut is not told to anybody.
fn join(frames: &mut Vec<Frame>, frame: Frame) {
    if let (Some(Frame::Data { id, fin, bytes }), Frame::Data { id: next, fin: ends, bytes: more }) =
        (frames.last_mut(), &frame)
        && id == next
        && !*fin
    {
        *bytes = Bytes::from([bytes.as_ref(), more.as_ref()].concat());
        *fin = *ends;
    } else {
        frames.push(frame);
    }
}

/// Reads WebSocket messages from a peer, as its channels' frames, until it errs or ends.
pub async fn websocket(bytes: &[u8], from_client: bool) -> String {
    let io = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    let role = if from_client { Role::Server } else { Role::Client };
    let (_sink, mut stream) = websocket::split(io, role).await;
    let mut told = String::new();
    while let Some(message) = stream.next().await {
        let payload = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(text)) => text.into(),
            Ok(_) => continue,
            Err(error) => {
                told = error.to_string();
                break;
            }
        };
        for codec in [Codec { base64: false, close: true }, Codec { base64: true, close: false }] {
            codec.decode(payload.clone());
        }
    }
    told
}

/// Reads the end of a command from the error stream.
pub fn exit(bytes: &[u8]) -> bool {
    crate::status::decode(bytes).is_ok()
}

/// Reads terminal sizes from the resize stream.
pub async fn sizes(bytes: &[u8]) -> usize {
    let (sender, mut sizes) = tokio::sync::mpsc::channel(crate::resize::SIZES);
    let mut count = 0;
    let read = async {
        while sizes.recv().await.is_some() {
            count += 1;
        }
    };
    tokio::join!(crate::resize::pump(Cursor::new(bytes.to_vec()), sender), read);
    count
}
