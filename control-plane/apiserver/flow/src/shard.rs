//! Shuffle sharding: every flow has a hand of queues, so that one heavy flow fills its own hand and few others'.

/// More cards than any valid hand: a hand whose entropy fits into 60 bits is shorter.
const HAND_MAX: usize = 64;

/// The hand of a flow: `size` different queues of `queues`, decided by the flow's hash alone.
pub(crate) fn deal(mut hash: u64, queues: u32, size: u32) -> impl Iterator<Item = u32> {
    let size = usize::try_from(size.min(queues)).unwrap_or(HAND_MAX).min(HAND_MAX);
    // The cards dealt so far, ascending.
    let mut dealt = [0_u32; HAND_MAX];
    (0..size).map(move |count| {
        let left = u64::from(queues) - count as u64;
        let mut card = u32::try_from(hash % left).expect("less than the number of queues");
        hash /= left;
        // The card counts among those that are left: step over the dealt ones.
        let mut place = 0;
        while place < count && dealt[place] <= card {
            card += 1;
            place += 1;
        }
        dealt.copy_within(place..count, place + 1);
        dealt[place] = card;
        card
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hands_have_different_cards_and_all_cards_are_dealt() {
        let mut all = HashSet::new();
        for flow in 0..5_000_u64 {
            let hash = flow.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hand: Vec<u32> = deal(hash, 64, 8).collect();
            let distinct: HashSet<u32> = hand.iter().copied().collect();
            assert_eq!(distinct.len(), 8, "{hand:?}");
            assert!(hand.iter().all(|card| *card < 64), "{hand:?}");
            all.extend(distinct);
        }
        assert_eq!(all.len(), 64);
        assert_eq!(deal(u64::MAX, 1, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(deal(7, 3, 9).count(), 3, "no more than there are");
    }

    #[test]
    fn two_flows_seldom_share_a_hand() {
        let hand =
            |flow: u64| deal(flow.wrapping_mul(0x9e37_79b9_7f4a_7c15), 64, 8).collect::<HashSet<u32>>();
        let first = hand(1);
        let same = (2..10_000).filter(|flow| hand(*flow) == first).count();
        assert_eq!(same, 0);
    }
}
