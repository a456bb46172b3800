//! The ranges of a cluster's range: which are used, and which is next.

use oarlock_base::Cidr;

/// Upstream limits the difference of the two masks to 16 bits; so many ranges fit in 8 KiB of bits.
const BITS_MAX: u8 = 16;

#[derive(Debug)]
pub(super) struct Ranges {
    cluster: Cidr,
    mask: u8,
    used: Vec<u64>,
    count: usize,
    /// Ranges are given in turn, so that a freed one rests before it is used again.
    next: usize,
}

impl Ranges {
    /// `mask` is a node's prefix length; one shorter than the cluster's gives the whole cluster range to one node.
    pub(super) fn new(cluster: Cidr, mask: u8) -> Self {
        let mask = mask.clamp(cluster.prefix(), (cluster.prefix() + BITS_MAX).min(32));
        let count = 1_usize << (mask - cluster.prefix());
        Self { cluster, mask, used: vec![0; count.div_ceil(64)], count, next: 0 }
    }

    fn is_used(&self, at: usize) -> bool {
        self.used[at / 64] & (1 << (at % 64)) != 0
    }

    /// The next free range.
    pub(super) fn take(&mut self) -> Option<String> {
        let at = (0..self.count).map(|step| (self.next + step) % self.count).find(|at| !self.is_used(*at))?;
        self.used[at / 64] |= 1 << (at % 64);
        self.next = (at + 1) % self.count;
        let address = self.cluster.nth((at as u64) << (32 - self.mask))?;
        Some(format!("{address}/{}", self.mask))
    }

    pub(super) fn occupy(&mut self, range: &str) {
        for at in self.positions(range) {
            self.used[at / 64] |= 1 << (at % 64);
        }
    }

    pub(super) fn release(&mut self, range: &str) {
        for at in self.positions(range) {
            self.used[at / 64] &= !(1 << (at % 64));
        }
    }

    /// The places that a range covers; none for one outside the cluster's.
    fn positions(&self, range: &str) -> std::ops::Range<usize> {
        let Ok(range) = range.parse::<Cidr>() else { return 0..0 };
        let (Some(first), true) =
            (self.cluster.index_of(range.address()), range.prefix() >= self.cluster.prefix())
        else {
            return 0..0;
        };
        let shift = 32 - self.mask;
        let last = first + (range.size() - 1);
        (first >> shift) as usize..((last >> shift) as usize + 1).min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(cluster: &str, mask: u8) -> Ranges {
        Ranges::new(cluster.parse().expect("a range"), mask)
    }

    #[test]
    fn ranges_are_given_in_turn_and_never_twice() {
        let mut ranges = ranges("10.244.0.0/22", 24);
        ranges.occupy("10.244.1.0/24");
        ranges.occupy("192.168.0.0/24");
        assert_eq!(ranges.take().as_deref(), Some("10.244.0.0/24"));
        assert_eq!(ranges.take().as_deref(), Some("10.244.2.0/24"));
        ranges.release("10.244.0.0/24");
        assert_eq!(ranges.take().as_deref(), Some("10.244.3.0/24"));
        assert_eq!(ranges.take().as_deref(), Some("10.244.0.0/24"));
        assert_eq!(ranges.take(), None);
    }

    #[test]
    fn other_prefixes_count_for_what_they_cover() {
        let mut ranges = ranges("10.244.0.0/22", 24);
        ranges.occupy("10.244.0.0/23");
        ranges.occupy("10.244.2.128/25");
        assert_eq!(ranges.take().as_deref(), Some("10.244.3.0/24"));
        assert_eq!(ranges.take(), None);
    }
}
