//! IPv4 ranges.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// `10.244.0.0/16`; the address is the first of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an IPv4 range such as 10.96.0.0/12")]
pub struct CidrError {
    text: String,
}

impl Cidr {
    /// The range of `prefix` bits (32 at most) that `address` lies in.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Self { address: Ipv4Addr::from(u32::from(address) & mask), prefix }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// How many addresses it has.
    pub fn size(&self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// Address number `index`, from 0; `None` beyond the end.
    pub fn nth(&self, index: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(index).ok().filter(|_| index < self.size())?;
        Some(Ipv4Addr::from(u32::from(self.address) + offset))
    }

    /// The number of an address in the range.
    pub fn index_of(&self, address: Ipv4Addr) -> Option<u64> {
        let offset = u32::from(address).checked_sub(u32::from(self.address))?;
        Some(u64::from(offset)).filter(|index| *index < self.size())
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.index_of(address).is_some()
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32)?;
            Some(Self::new(address.parse().ok()?, prefix))
        };
        parse().ok_or_else(|| CidrError { text: text.to_string() })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_masked() {
        let range: Cidr = "10.96.3.4/12".parse().expect("a range");
        assert_eq!(range.to_string(), "10.96.0.0/12");
        assert_eq!(range.nth(10), Some(Ipv4Addr::new(10, 96, 0, 10)));
        assert!(
            range.contains(Ipv4Addr::new(10, 111, 255, 255)) && !range.contains(Ipv4Addr::new(10, 112, 0, 0))
        );
        for bad in ["10.96.0.0", "10.96.0.0/33", "x/8", "::/0", ""] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ends_are_inside_and_nothing_beyond() {
        let one: Cidr = "10.0.0.7/32".parse().expect("a range");
        assert_eq!((one.size(), one.nth(0), one.nth(1)), (1, Some(Ipv4Addr::new(10, 0, 0, 7)), None));
        let all: Cidr = "0.0.0.0/0".parse().expect("a range");
        assert_eq!(all.nth(u64::from(u32::MAX)), Some(Ipv4Addr::BROADCAST));
        assert!(all.overlaps(&one) && one.overlaps(&all));
    }
}
