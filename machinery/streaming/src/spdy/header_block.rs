//! SPDY/3 header blocks: name/value pairs in one zlib stream per direction, primed with the dictionary of the protocol.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::frame::{FrameError, Headers};

/// The dictionary that SPDY/3 prescribes (Adler-32 e3c6a7c2).
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");
/// The most a block may grow to.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Room for the dictionary and some; the state stays at a few KiB.
const WINDOW_BITS: i32 = 12;
const MEM_LEVEL: i32 = 2;

pub(super) struct Deflater(Option<Deflate>);

impl Deflater {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn headers(&mut self, headers: &Headers) -> Vec<u8> {
        let deflate = self.0.get_or_insert_with(|| {
            let mut deflate = Deflate::new_with_config(DeflateConfig {
                window_bits: WINDOW_BITS,
                mem_level: MEM_LEVEL,
                ..DeflateConfig::new(6)
            });
            deflate.set_dictionary(DICTIONARY).expect("a fresh stream takes a dictionary");
            deflate
        });
        let plain = plain(headers);
        let mut out = Vec::with_capacity(plain.len() + 64);
        let (mut read, mut written) = (0, 0);
        loop {
            out.resize(written + plain.len() - read + 64, 0);
            let (before_in, before_out) = (deflate.total_in(), deflate.total_out());
            deflate
                .compress(&plain[read..], &mut out[written..], DeflateFlush::SyncFlush)
                .expect("the state is sound");
            read += (deflate.total_in() - before_in) as usize;
            written += (deflate.total_out() - before_out) as usize;
            // Room to spare means that the flush is complete.
            if read == plain.len() && written < out.len() {
                out.truncate(written);
                return out;
            }
        }
    }
}

fn plain(headers: &Headers) -> Vec<u8> {
    let mut plain = Vec::with_capacity(64);
    let put = |plain: &mut Vec<u8>, text: &str| {
        plain.extend((text.len() as u32).to_be_bytes());
        plain.extend(text.as_bytes());
    };
    plain.extend((headers.len() as u32).to_be_bytes());
    for (name, value) in headers {
        put(&mut plain, &name.to_ascii_lowercase());
        put(&mut plain, value);
    }
    plain
}

pub(super) struct Inflater(Option<Inflate>);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, FrameError> {
        parse(&self.inflate(block)?).ok_or(FrameError::Headers { reason: "malformed" })
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, FrameError> {
        let inflate = self.0.get_or_insert_with(|| Inflate::new(true, 15));
        let mut out = Vec::new();
        let (mut read, mut written) = (0, 0);
        while written < BLOCK_BYTES_MAX {
            out.resize((written + 512).min(BLOCK_BYTES_MAX), 0);
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(&block[read..], &mut out[written..], InflateFlush::SyncFlush);
            let (took, gave) = (inflate.total_in() - before_in, inflate.total_out() - before_out);
            read += took as usize;
            written += gave as usize;
            match status {
                Err(InflateError::NeedDict { .. }) => {
                    inflate
                        .set_dictionary(DICTIONARY)
                        .map_err(|_| FrameError::Headers { reason: "another dictionary" })?;
                }
                Err(_) => return Err(FrameError::Headers { reason: "not zlib" }),
                Ok(Status::StreamEnd) if read < block.len() => {
                    return Err(FrameError::Headers { reason: "bytes after the end" });
                }
                Ok(_) if written < out.len() => {
                    out.truncate(written);
                    return Ok(out);
                }
                Ok(_) if took == 0 && gave == 0 => return Err(FrameError::Headers { reason: "stuck" }),
                Ok(_) => {}
            }
        }
        Err(FrameError::Headers { reason: "too large" })
    }
}

fn parse(mut plain: &[u8]) -> Option<Headers> {
    let count = number(&mut plain)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut plain)?.to_ascii_lowercase();
        // Several values of one name are joined by NUL.
        let value = text(&mut plain)?;
        headers.extend(value.split('\0').map(|value| (name.clone(), value.to_string())));
    }
    Some(headers)
}

fn number(plain: &mut &[u8]) -> Option<u32> {
    let (head, rest) = plain.split_first_chunk::<4>()?;
    *plain = rest;
    Some(u32::from_be_bytes(*head))
}

fn text(plain: &mut &[u8]) -> Option<String> {
    let length = number(plain)? as usize;
    let (head, rest) = plain.split_at_checked(length)?;
    *plain = rest;
    String::from_utf8(head.to_vec()).ok()
}
