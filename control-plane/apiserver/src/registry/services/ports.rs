//! Which node ports are taken, in the form that every API server of a cluster shares: upstream's RangeAllocation, a
//! bitmap in one object of the store, changed by compare-and-swap.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oarlock_api::Table;
use oarlock_api::codec::protobuf;
use serde_json::{Value, json};

use super::range::{Refused, pick};

/// Where upstream keeps it.
pub(super) const PORTS_KEY: &str = "/registry/ranges/servicenodeports";
const TYPE: &str = "io.k8s.api.core.v1.RangeAllocation";

/// The taken ports of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortMap {
    range: RangeInclusive<u16>,
    /// Bit `i` of byte `i / 8` stands for the port `first + i`.
    bits: Vec<u8>,
}

impl PortMap {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        let size = usize::from(range.end().saturating_sub(*range.start())) + 1;
        Self { range, bits: vec![0; size.div_ceil(8)] }
    }

    /// What a store's object says of the ports of `range`; none where it is not a RangeAllocation.
    pub(super) fn read(range: RangeInclusive<u16>, bytes: &[u8]) -> Option<Self> {
        let object: Value = if protobuf::is_envelope(bytes) {
            let table = Table::builtin();
            let raw = protobuf::unwrap(bytes).ok()?.raw;
            protobuf::decode(table, table.type_named(TYPE)?, raw).ok()?
        } else {
            serde_json::from_slice(bytes).ok()?
        };
        let data = STANDARD.decode(object["data"].as_str().unwrap_or_default()).ok()?;
        let written = object["range"].as_str().unwrap_or_default();
        // An object that was never filled has no range, and then no data either.
        let first = match written.split_once('-') {
            Some((first, _)) => first.parse::<u16>().ok()?,
            None if data.is_empty() => *range.start(),
            None => return None,
        };
        let mut map = Self::new(range);
        // A number with its highest byte first.
        for (index, byte) in data.iter().rev().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let port = usize::from(first) + index * 8 + bit;
                if let Ok(port) = u16::try_from(port) {
                    map.set(port, true);
                }
            }
        }
        Some(map)
    }

    /// The object for the store, in the form that all objects have there.
    pub(super) fn to_bytes(&self, as_protobuf: bool) -> Bytes {
        let used = self.bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let data: Vec<u8> = self.bits[..used].iter().rev().copied().collect();
        let object = json!({
            "kind": "RangeAllocation", "apiVersion": "v1", "metadata": { "creationTimestamp": null },
            "range": self.range_text(), "data": STANDARD.encode(data),
        });
        let table = Table::builtin();
        match table.type_named(TYPE) {
            Some(ty) if as_protobuf => {
                protobuf::wrap("v1", "RangeAllocation", &protobuf::encode(table, ty, &object)).into()
            }
            _ => object.to_string().into(),
        }
    }

    fn place(&self, port: u16) -> Option<(usize, u8)> {
        let offset = usize::from(port.checked_sub(*self.range.start())?);
        self.range.contains(&port).then_some((offset / 8, 1 << (offset % 8)))
    }

    pub(super) fn has(&self, port: u16) -> bool {
        self.place(port).is_some_and(|(byte, bit)| self.bits[byte] & bit != 0)
    }

    /// A port outside the range is left alone.
    pub(super) fn set(&mut self, port: u16, taken: bool) {
        if let Some((byte, bit)) = self.place(port) {
            if taken {
                self.bits[byte] |= bit;
            } else {
                self.bits[byte] &= !bit;
            }
        }
    }

    pub(super) fn check_range(&self, port: u16) -> Result<(), Refused> {
        let (first, last) = (*self.range.start(), *self.range.end());
        if self.range.contains(&port) { Ok(()) } else { Err(Refused::OutsidePorts { first, last }) }
    }

    /// Any port that is neither taken nor refused by `busy`. (KEP-3668 for the band)
    pub(super) fn any(&self, busy: impl Fn(u16) -> bool) -> Option<u16> {
        let size = self.range.end().saturating_sub(*self.range.start()) + 1;
        let reserved = if size < 16 { 0 } else { (size / 32).clamp(16, 128).min(size) };
        let port = |offset: u128| self.range.start() + u16::try_from(offset).unwrap_or(0);
        let taken = |offset| self.has(port(offset)) || busy(port(offset));
        pick(u128::from(size), u128::from(reserved), taken).map(port)
    }

    pub(super) fn range_text(&self) -> String {
        format!("{}-{}", self.range.start(), self.range.end())
    }

    pub(super) fn taken(&self) -> impl Iterator<Item = u16> + '_ {
        self.range.clone().filter(|port| self.has(*port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ports: &[u16]) -> PortMap {
        let mut map = PortMap::new(30000..=32767);
        ports.iter().for_each(|port| map.set(*port, true));
        map
    }

    #[test]
    fn bytes_are_upstreams_number() {
        let check = |ports: &[u16], data: &[u8]| {
            let object: Value = serde_json::from_slice(&map(ports).to_bytes(false)).expect("JSON");
            assert_eq!(object["data"], STANDARD.encode(data), "{ports:?}");
            assert_eq!(object["range"], "30000-32767");
            for as_protobuf in [false, true] {
                let bytes = map(ports).to_bytes(as_protobuf);
                assert_eq!(protobuf::is_envelope(&bytes), as_protobuf);
                assert_eq!(PortMap::read(30000..=32767, &bytes), Some(map(ports)));
            }
        };
        check(&[], &[]);
        check(&[30000], &[1]);
        check(&[30001, 30008], &[1, 2]);
        check(&[30017], &[2, 0, 0]);
    }

    #[test]
    fn protobuf_and_other_ranges_are_read() {
        // RangeAllocation{range: "30000-32767", data: [1, 2]} as upstream's API server stores it.
        let mut message = vec![0x0a, 0x00, 0x12, 11];
        message.extend_from_slice(b"30000-32767");
        message.extend_from_slice(&[0x1a, 2, 1, 2]);
        let bytes = protobuf::wrap("v1", "RangeAllocation", &message);
        assert_eq!(PortMap::read(30000..=32767, &bytes), Some(map(&[30001, 30008])));
        let moved = PortMap::read(30008..=30100, &bytes).expect("read");
        assert_eq!(moved.taken().collect::<Vec<_>>(), [30008]);
        for bad in [&b"k8s\0\xff"[..], b"[", b"{\"range\":\"x-y\"}", b"{\"data\":\"AQ==\"}"] {
            assert_eq!(PortMap::read(30000..=32767, bad), None);
        }
    }

    #[test]
    fn ports_are_given_from_above_the_band_first() {
        let mut map = PortMap::new(30000..=30063);
        let mut given = Vec::new();
        while let Some(port) = map.any(|_| false) {
            map.set(port, true);
            given.push(port);
        }
        assert_eq!(given.len(), 64);
        assert!(given[..48].iter().all(|port| *port >= 30016));
        assert_eq!(map.any(|_| false), None);
        map.set(30003, false);
        assert_eq!(map.any(|port| port == 30003), None);
        assert!(map.check_range(80).is_err() && map.check_range(30063).is_ok());
    }
}
