//! Ranges of addresses, and which places of a range are taken.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng as _;

/// A CIDR that services get addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRange {
    base: IpAddr,
    prefix: u32,
}

/// Ranges larger than this are used up to it, as upstream.
const SIZE_MAX: u128 = 1 << 20;

/// `10.96.0.0/12`, or two of different families with a comma.
pub(crate) fn parse_ranges(text: &str) -> Option<Vec<AddressRange>> {
    text.split(',').map(|part| AddressRange::parse(part.trim())).collect()
}

impl AddressRange {
    fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = text.split_once('/')?;
        let (base, prefix): (IpAddr, u32) = (base.parse().ok()?, prefix.parse().ok()?);
        let width = if base.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return None;
        }
        let mask = u128::MAX.checked_shl(width - prefix).unwrap_or(0);
        Some(Self { base: address(number(base) & mask, base.is_ipv4()), prefix })
    }

    pub(crate) fn family(&self) -> &'static str {
        if self.base.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    fn host_bits(&self) -> u32 {
        (if self.base.is_ipv4() { 32 } else { 128 }) - self.prefix
    }

    /// Usable addresses: neither the network's own nor, for IPv4, the broadcast address.
    pub(crate) fn size(&self) -> u128 {
        let all = 1u128.checked_shl(self.host_bits()).unwrap_or(u128::MAX);
        all.saturating_sub(if self.base.is_ipv4() { 2 } else { 1 }).min(SIZE_MAX)
    }

    /// The address number `offset` (0 is the first usable one).
    pub(crate) fn at(&self, offset: u128) -> IpAddr {
        address(number(self.base) + offset + 1, self.base.is_ipv4())
    }

    /// Where an address stands in this range.
    pub(crate) fn offset(&self, ip: IpAddr) -> Option<u128> {
        if ip.is_ipv4() != self.base.is_ipv4() {
            return None;
        }
        let offset = number(ip).checked_sub(number(self.base) + 1)?;
        (offset < self.size()).then_some(offset)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    if v4 {
        // The upper bits of an IPv4 range's numbers are zero.
        IpAddr::V4(Ipv4Addr::from(number as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from(number))
    }
}

/// Why something was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("range is full")]
    Full,
    #[error("provided IP is already allocated")]
    AddressTaken,
    #[error("provided port is already allocated")]
    PortTaken,
    #[error("the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}")]
    OutsideAddresses { address: IpAddr, range: String },
    #[error("provided port is not in the valid range. The range of valid ports is {first}-{last}")]
    OutsidePorts { first: u16, last: u16 },
}

/// Which places of a range are taken. What is asked for by nobody in particular comes from above a lower band, which
/// is left to those who ask by name (KEP-3070).
#[derive(Debug)]
pub(super) struct Pool {
    size: u128,
    reserved: u128,
    taken: HashSet<u128>,
}

const RANDOM_TRIES: usize = 16;

impl Pool {
    pub(super) fn new(size: u128) -> Self {
        let reserved = if size < 16 { 0 } else { (size / 16).clamp(16, 256) };
        Self { size, reserved, taken: HashSet::new() }
    }

    /// False when the place is taken.
    pub(super) fn take(&mut self, offset: u128) -> bool {
        self.taken.insert(offset)
    }

    pub(super) fn free(&mut self, offset: u128) {
        self.taken.remove(&offset);
    }

    /// Any free place, taken.
    pub(super) fn any(&mut self) -> Option<u128> {
        if self.size > self.reserved {
            let mut random = rand::rng();
            for _ in 0..RANDOM_TRIES {
                let offset = random.random_range(self.reserved..self.size);
                if self.take(offset) {
                    return Some(offset);
                }
            }
        }
        let free =
            (self.reserved..self.size).chain(0..self.reserved).find(|offset| !self.taken.contains(offset))?;
        self.taken.insert(free);
        Some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_after_the_network_address() {
        let range = AddressRange::parse("10.96.0.0/12").expect("a range");
        assert_eq!(range.at(0).to_string(), "10.96.0.1");
        assert_eq!(range.at(9).to_string(), "10.96.0.10");
        assert_eq!(range.offset("10.96.0.10".parse().expect("an address")), Some(9));
        assert_eq!(range.offset("10.96.0.0".parse().expect("an address")), None);
        let small = AddressRange::parse("10.0.0.0/30").expect("a range");
        assert_eq!((small.size(), small.at(1).to_string()), (2, "10.0.0.2".into()));
        assert_eq!(small.offset("10.0.0.3".parse().expect("an address")), None);
    }

    #[test]
    fn a_pool_gives_everything_once() {
        let mut pool = Pool::new(40);
        let mut given: Vec<u128> = std::iter::from_fn(|| pool.any()).collect();
        given.sort_unstable();
        assert_eq!(given, (0..40).collect::<Vec<u128>>());
    }
}
