//! Ranges of addresses, the bands in them, and which place of a range is given next.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng as _;

/// A CIDR that services get addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRange {
    base: IpAddr,
    prefix: u32,
}

/// Ranges larger than this are used up to it: a /64 whole, as upstream.
const SIZE_MAX: u128 = 1 << 64;

/// `10.96.0.0/12`, or two of different families with a comma.
pub(crate) fn parse_ranges(text: &str) -> Option<Vec<AddressRange>> {
    text.split(',').map(|part| AddressRange::parse(part.trim())).collect()
}

impl AddressRange {
    pub(super) fn parse(text: &str) -> Option<Self> {
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

    /// The network's own address.
    pub(super) fn network(&self) -> IpAddr {
        self.base
    }

    /// Whether all of `other` is in this range.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.holds(other.base)
    }

    /// Whether an address is in this range, usable or not.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.base.is_ipv4()
            && number(ip).checked_shr(self.host_bits()).unwrap_or(0)
                == number(self.base).checked_shr(self.host_bits()).unwrap_or(0)
    }

    /// Places at the beginning that are left to those who ask by name. (KEP-3070)
    pub(super) fn reserved(&self) -> u128 {
        let size = self.size();
        if size < 16 { 0 } else { (size / 16).clamp(16, 256) }
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
    #[error("the provided network does not match the current range")]
    Mismatched,
    #[error("provided port is not in the valid range. The range of valid ports is {first}-{last}")]
    OutsidePorts { first: u16, last: u16 },
}

const RANDOM_TRIES: usize = 16;

/// Any place that is not taken: from above the reserved band while there is one, then from the band.
pub(super) fn pick(size: u128, reserved: u128, taken: impl Fn(u128) -> bool) -> Option<u128> {
    if size > reserved {
        let mut random = rand::rng();
        for _ in 0..RANDOM_TRIES {
            let offset = random.random_range(reserved..size);
            if !taken(offset) {
                return Some(offset);
            }
        }
    }
    (reserved..size).chain(0..reserved.min(size)).find(|offset| !taken(*offset))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
    fn bands_are_those_of_the_proposal() {
        let check = |text: &str, want: u128| {
            assert_eq!(AddressRange::parse(text).expect("a range").reserved(), want, "{text}");
        };
        check("10.0.0.0/28", 0);
        check("10.0.0.0/27", 16);
        check("10.0.0.0/24", 16);
        check("10.0.0.0/20", 255);
        check("10.0.0.0/12", 256);
        check("fd00::/124", 0);
        check("fd00::/108", 256);
        check("fd00::/64", 256);
    }

    #[test]
    fn ranges_know_what_is_in_them() {
        let check = |outer: &str, inner: &str, want: bool| {
            let range = |text| AddressRange::parse(text).expect("a range");
            assert_eq!(range(outer).contains(&range(inner)), want, "{outer} {inner}");
        };
        check("10.0.0.0/8", "10.96.0.0/12", true);
        check("10.96.0.0/12", "10.0.0.0/8", false);
        check("10.96.0.0/12", "10.96.0.0/12", true);
        check("0.0.0.0/0", "192.168.0.0/16", true);
        check("10.0.0.0/8", "fd00::/64", false);
        check("10.0.0.0/16", "10.1.0.0/24", false);
    }

    #[test]
    fn everything_is_given_once_and_the_band_last() {
        let mut taken = HashSet::new();
        let mut given = Vec::new();
        while let Some(offset) = pick(40, 16, |offset| taken.contains(&offset)) {
            taken.insert(offset);
            given.push(offset);
        }
        assert!(given[..24].iter().all(|offset| *offset >= 16), "{given:?}");
        assert!(given[24..].iter().all(|offset| *offset < 16), "{given:?}");
        assert_eq!(taken.len(), 40);
        assert_eq!(pick(0, 0, |_| false), None);
    }
}
