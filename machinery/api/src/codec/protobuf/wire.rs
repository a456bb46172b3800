//! Varints, tags and lengths.

use super::DecodeError;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, tag: u16, wire: u8) {
    put_varint(out, u64::from(tag) << 3 | u64::from(wire));
}

pub(crate) fn put_int(out: &mut Vec<u8>, tag: u16, n: i64) {
    put_tag(out, tag, VARINT);
    put_varint(out, n as u64);
}

pub(crate) fn put_number(out: &mut Vec<u8>, tag: u16, n: f64) {
    put_tag(out, tag, FIXED64);
    out.extend_from_slice(&n.to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u16, bytes: &[u8]) {
    put_tag(out, tag, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a message whose length is known only afterwards: one byte is kept for it, and the body moves where that is
/// too little.
pub(crate) fn put_message(out: &mut Vec<u8>, tag: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, tag, BYTES);
    let at = out.len();
    out.push(0);
    body(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(&mut prefix, len as u64);
    out.splice(at..=at, prefix);
}

/// What a field carries.
#[derive(Clone, Copy)]
pub(super) enum Payload<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
}

/// Walks the fields of one message.
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and payload; forms that no message of ours has are skipped.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Payload<'b>)>, DecodeError> {
        while !self.rest.is_empty() {
            let (tag, wire) = self.tag()?;
            let payload = match wire {
                VARINT => Payload::Varint(self.varint()?),
                FIXED64 => {
                    let bytes = self.take(8)?;
                    Payload::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
                }
                BYTES => Payload::Bytes(self.bytes()?),
                FIXED32 => {
                    self.take(4)?;
                    continue;
                }
                GROUP_START => {
                    self.skip_group()?;
                    continue;
                }
                GROUP_END => return Err(DecodeError::Protobuf("wiretype end group for non-group")),
                _ => return Err(DecodeError::Protobuf("illegal wireType")),
            };
            return Ok(Some((tag, payload)));
        }
        Ok(None)
    }

    fn tag(&mut self) -> Result<(u64, u8), DecodeError> {
        let key = self.varint()?;
        match key >> 3 {
            0 => Err(DecodeError::Protobuf("illegal tag 0")),
            tag => Ok((tag, (key & 7) as u8)),
        }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.rest.split_first().ok_or(DecodeError::Protobuf("unexpected EOF"))?;
            self.rest = rest;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeError::Protobuf("integer overflow"))
    }

    fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let len = usize::try_from(self.varint()?)
            .map_err(|_| DecodeError::Protobuf("negative length found during unmarshaling"))?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Protobuf("unexpected EOF"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip_group(&mut self) -> Result<(), DecodeError> {
        let mut depth = 1_u32;
        while depth > 0 {
            match self.tag()?.1 {
                VARINT => {
                    self.varint()?;
                }
                FIXED64 => {
                    self.take(8)?;
                }
                BYTES => {
                    self.bytes()?;
                }
                FIXED32 => {
                    self.take(4)?;
                }
                GROUP_START => depth = depth.saturating_add(1),
                GROUP_END => depth -= 1,
                _ => return Err(DecodeError::Protobuf("illegal wireType")),
            }
        }
        Ok(())
    }
}
