//! What stands around a message: `k8s\0` and `runtime.Unknown`, and the frame of a watch event.

use super::DecodeError;
use super::wire::{Payload, Reader, put_bytes, put_message};

/// The first four bytes of every protobuf object.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// An object of a type that is yet to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown<'b> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'b [u8],
    pub content_encoding: String,
    pub content_type: String,
}

pub fn is_envelope(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Puts a message into its envelope.
pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + api_version.len() + kind.len() + 24);
    out.extend_from_slice(&MAGIC);
    put_message(&mut out, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
    });
    put_bytes(&mut out, 2, message);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    out
}

/// Takes a message out of its envelope.
pub fn unwrap(bytes: &[u8]) -> Result<Unknown<'_>, DecodeError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or_else(|| {
        DecodeError::Syntax(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into(),
        )
    })?;
    let mut unknown = Unknown::default();
    let mut reader = Reader::new(body);
    while let Some((tag, payload)) = reader.next()? {
        let Payload::Bytes(bytes) = payload else { continue };
        match tag {
            1 => type_meta(bytes, &mut unknown)?,
            2 => unknown.raw = bytes,
            3 => unknown.content_encoding = lossy(bytes),
            4 => unknown.content_type = lossy(bytes),
            _ => {}
        }
    }
    Ok(unknown)
}

fn type_meta<'b>(bytes: &'b [u8], unknown: &mut Unknown<'b>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match (tag, payload) {
            (1, Payload::Bytes(bytes)) => unknown.api_version = lossy(bytes),
            (2, Payload::Bytes(bytes)) => unknown.kind = lossy(bytes),
            _ => {}
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One watch event, ready for the wire: its length in four bytes, its type and the object, envelope included.
pub fn watch_frame(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + event_type.len() + 20);
    out.extend_from_slice(&[0; 4]);
    put_bytes(&mut out, 1, event_type.as_bytes());
    put_message(&mut out, 2, |out| put_bytes(out, 1, object));
    let len = u32::try_from(out.len() - 4).expect("an object is far smaller than 4 GiB");
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}
