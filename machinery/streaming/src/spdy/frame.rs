//! SPDY/3.1 frames: bytes to frames and back. Pure; every length a peer claims is bounded before it is believed.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::header_block::{Deflater, Inflater};

/// Names and values of a SYN_STREAM, SYN_REPLY or HEADERS frame; names in lower case.
pub(crate) type Headers = Vec<(String, String)>;

/// The largest control frame that is accepted: a header block for a handful of short headers.
const CONTROL_BYTES_MAX: usize = 64 * 1024;
const VERSION: u16 = 3;
const FLAG_FIN: u8 = 1;
const STREAM_ID: u32 = 0x7fff_ffff;

pub(crate) const RST_PROTOCOL_ERROR: u32 = 1;
pub(crate) const RST_REFUSED_STREAM: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    SynStream {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    SynReply {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    Rst {
        id: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
        status: u32,
    },
    /// A piece of a stream; one data frame may be decoded as several, of which the last carries `fin`.
    Data {
        id: u32,
        fin: bool,
        bytes: Bytes,
    },
    /// SETTINGS, HEADERS and WINDOW_UPDATE: understood, and of no consequence to Kubernetes' streams.
    Ignored,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("SPDY version {version}")]
    Version { version: u16 },
    #[error("unknown control frame {kind}")]
    Kind { kind: u16 },
    #[error("control frame of {length} bytes")]
    Length { length: usize },
    #[error("header block: {reason}")]
    Headers { reason: &'static str },
}

/// Turns received bytes into frames.
pub(crate) struct Decoder {
    buffer: BytesMut,
    inflater: Inflater,
    data: Option<DataLeft>,
}

#[derive(Clone, Copy)]
struct DataLeft {
    id: u32,
    fin: bool,
    left: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), inflater: Inflater::new(), data: None }
    }

    /// Where received bytes are put.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next frame, or `None` until more bytes come. After an error the connection cannot go on.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(data) = self.data {
            return Ok(self.next_data(data));
        }
        if self.buffer.len() < 8 {
            return Ok(None);
        }
        let mut head = &self.buffer[..8];
        let (first, rest) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((rest >> 24) as u8, (rest & 0x00ff_ffff) as usize);
        if first >> 31 == 0 {
            self.buffer.advance(8);
            let data = DataLeft { id: first, fin: flags & FLAG_FIN != 0, left: length };
            self.data = Some(data);
            return Ok(self.next_data(data));
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(FrameError::Version { version });
        }
        if length > CONTROL_BYTES_MAX {
            return Err(FrameError::Length { length });
        }
        if self.buffer.len() < 8 + length {
            return Ok(None);
        }
        self.buffer.advance(8);
        let body = self.buffer.split_to(length).freeze();
        self.control(kind, flags, body).map(Some)
    }

    fn next_data(&mut self, data: DataLeft) -> Option<Frame> {
        let taken = data.left.min(self.buffer.len());
        if taken == 0 && data.left > 0 {
            return None;
        }
        let left = data.left - taken;
        self.data = (left > 0).then_some(DataLeft { left, ..data });
        let bytes = self.buffer.split_to(taken).freeze();
        Some(Frame::Data { id: data.id, fin: data.fin && left == 0, bytes })
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, FrameError> {
        let need = match kind {
            1 => 10,
            2 | 4 | 6 | 8 => 4,
            3 | 7 | 9 => 8,
            kind => return Err(FrameError::Kind { kind }),
        };
        if body.len() < need {
            return Err(FrameError::Length { length: body.len() });
        }
        let id = body.get_u32() & STREAM_ID;
        let fin = flags & FLAG_FIN != 0;
        Ok(match kind {
            1 => {
                body.advance(6);
                Frame::SynStream { id, fin, headers: self.inflater.headers(&body)? }
            }
            2 => Frame::SynReply { id, fin, headers: self.inflater.headers(&body)? },
            3 => Frame::Rst { id, status: body.get_u32() },
            6 => Frame::Ping { id },
            7 => Frame::GoAway { last: id, status: body.get_u32() },
            8 => {
                // The blocks of a connection are one zlib stream: none may be skipped.
                self.inflater.headers(&body)?;
                Frame::Ignored
            }
            _ => Frame::Ignored,
        })
    }
}

/// Turns frames into bytes.
pub(crate) struct Encoder {
    deflater: Deflater,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { deflater: Deflater::new() }
    }

    /// Appends the frame; of a data frame only the head, the caller sends its bytes behind.
    pub(crate) fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::SynStream { id, fin, headers } => {
                let block = self.deflater.headers(headers);
                control(out, 1, *fin, 10 + block.len());
                out.put_u32(*id);
                out.put_u32(0);
                out.put_u16(0);
                out.put_slice(&block);
            }
            Frame::SynReply { id, fin, headers } => {
                let block = self.deflater.headers(headers);
                control(out, 2, *fin, 4 + block.len());
                out.put_u32(*id);
                out.put_slice(&block);
            }
            Frame::Rst { id, status } => {
                control(out, 3, false, 8);
                out.put_u32(*id);
                out.put_u32(*status);
            }
            Frame::Ping { id } => {
                control(out, 6, false, 4);
                out.put_u32(*id);
            }
            Frame::GoAway { last, status } => {
                control(out, 7, false, 8);
                out.put_u32(*last);
                out.put_u32(*status);
            }
            Frame::Data { id, fin, bytes } => {
                out.put_u32(*id);
                out.put_u32(flags_and_length(*fin, bytes.len()));
            }
            Frame::Ignored => {}
        }
    }
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(flags_and_length(fin, length));
}

fn flags_and_length(fin: bool, length: usize) -> u32 {
    let length = u32::try_from(length).ok().filter(|l| *l < 1 << 24).expect("our frames are below 16 MiB");
    u32::from(if fin { FLAG_FIN } else { 0 }) << 24 | length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(frames: &[Frame]) -> BytesMut {
        let (mut encoder, mut out) = (Encoder::new(), BytesMut::new());
        for frame in frames {
            encoder.encode(frame, &mut out);
            if let Frame::Data { bytes, .. } = frame {
                out.put_slice(bytes);
            }
        }
        out
    }

    fn decoded(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
        for piece in bytes.chunks(step.max(1)) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn headers() -> impl Strategy<Value = Headers> {
        prop::collection::vec(("[a-z]{1,12}", "[ -~]{0,40}"), 0..6)
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let id = 1u32..STREAM_ID;
        prop_oneof![
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynStream {
                id,
                fin,
                headers
            }),
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply {
                id,
                fin,
                headers
            }),
            (id.clone(), 1u32..12).prop_map(|(id, status)| Frame::Rst { id, status }),
            id.clone().prop_map(|id| Frame::Ping { id }),
            (id.clone(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..100))
                .prop_map(|(id, fin, bytes)| Frame::Data { id, fin, bytes: bytes.into() }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(frames in prop::collection::vec(frame(), 0..12)) {
            prop_assert_eq!(decoded(&encoded(&frames), usize::MAX).expect("our own frames"), frames);
        }

        #[test]
        fn pieces_decode_as_the_whole(frames in prop::collection::vec(frame(), 0..6), step in 1usize..20) {
            let bytes = encoded(&frames);
            let joined = |frames: Vec<Frame>| frames.iter().fold(Vec::new(), |mut all: Vec<Frame>, frame| {
                match (all.last_mut(), frame) {
                    (Some(Frame::Data { id, fin: last @ false, bytes }), Frame::Data { id: next, fin, bytes: more })
                        if id == next =>
                    {
                        *bytes = [bytes.as_ref(), more.as_ref()].concat().into();
                        *last = *fin;
                    }
                    _ => all.push(frame.clone()),
                }
                all
            });
            let whole = decoded(&bytes, usize::MAX).expect("our own frames");
            let pieces = decoded(&bytes, step).expect("our own frames");
            prop_assert_eq!(joined(pieces), joined(whole));
        }

        #[test]
        fn strange_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..64) {
            // The verdict may be either; what counts is that there is one.
            decoded(&bytes, step).ok();
        }

        #[test]
        fn strange_control_frames_never_panic(
            kind in 0u16..12, flags: u8, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let mut bytes = vec![0x80, 0x03];
            bytes.put_u16(kind);
            bytes.put_u32(u32::from(flags) << 24 | body.len() as u32);
            bytes.extend(body);
            decoded(&bytes, usize::MAX).ok();
        }
    }

    #[test]
    fn claims_are_bounded() {
        let check = |bytes: &[u8], want: FrameError| assert_eq!(decoded(bytes, usize::MAX), Err(want));
        check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], FrameError::Length { length: 0x00ff_ffff });
        check(&[0x80, 2, 0, 1, 0, 0, 0, 0], FrameError::Version { version: 2 });
        check(&[0x80, 3, 0, 5, 0, 0, 0, 0], FrameError::Kind { kind: 5 });
        check(&[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0], FrameError::Length { length: 2 });
    }
}
