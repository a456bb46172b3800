//! Schemas at rest: most of a cluster's many custom resources are never asked for, so a schema is kept packed and becomes
//! a tree when it is first used.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::Value;

/// A JSON value, compressed.
#[derive(Clone)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn new(value: &Value) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        serde_json::to_writer(&mut encoder, value).expect("writing a value to memory does not fail");
        encoder.flush().expect("writing to memory does not fail");
        Self(encoder.finish().expect("writing to memory does not fail").into_boxed_slice())
    }

    pub(crate) fn value(&self) -> Value {
        let mut text = Vec::new();
        DeflateDecoder::new(&self.0[..])
            .read_to_end(&mut text)
            .expect("what was packed here can be unpacked");
        serde_json::from_slice(&text).expect("what was packed here is JSON")
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}
