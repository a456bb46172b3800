//! How the server's seats are shared out: nominally by shares, and lent from those who do not need theirs.

/// One level's part of the server's concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) shares: u32,
    pub(crate) lendable_percent: u32,
    /// `None`: no bound.
    pub(crate) borrowing_percent: Option<u32>,
}

/// Bounds of a level's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bounds {
    pub(crate) nominal: u32,
    pub(crate) lower: u32,
    pub(crate) upper: u32,
}

fn percent(of: u32, percent: u32) -> u32 {
    (f64::from(of) * f64::from(percent) / 100.0).round() as u32
}

/// The bounds of every level, in the order of `shares`.
pub(crate) fn bounds(server: u32, shares: &[Share]) -> Vec<Bounds> {
    let sum: f64 = shares.iter().map(|share| f64::from(share.shares)).sum();
    let of = |share: &Share| {
        let nominal =
            if sum > 0.0 { (f64::from(server) * f64::from(share.shares) / sum).ceil() as u32 } else { 0 };
        let borrowing = share.borrowing_percent.map_or(server, |p| percent(nominal, p));
        Bounds {
            nominal,
            lower: nominal.saturating_sub(percent(nominal, share.lendable_percent)),
            upper: nominal.saturating_add(borrowing),
        }
    };
    shares.iter().map(of).collect()
}

/// What a level gets at least and at most, and what it would like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wish {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) target: f64,
}

/// Rounds of the search below: more than a double has digits.
const ROUNDS: usize = 100;

/// Gives away `sum` so that every level gets the same fraction of its target, within its bounds. That fraction comes
/// second. Where the lower bounds are too much already, everybody gets the lower bound.
pub(crate) fn allocate(sum: f64, wishes: &[Wish]) -> (Vec<f64>, f64) {
    let given = |fraction: f64| {
        wishes.iter().map(move |w| (w.target * fraction).clamp(w.lower.min(w.upper), w.upper.max(w.lower)))
    };
    let total = |fraction: f64| given(fraction).sum::<f64>();
    if total(0.0) >= sum {
        return (given(0.0).collect(), 0.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while total(high) < sum && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..ROUNDS {
        let middle = f64::midpoint(low, high);
        if total(middle) < sum { low = middle } else { high = middle }
    }
    (given(high).collect(), high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_shared_as_upstream_shares_them() {
        // The levels of a fresh cluster under 600 seats, as their documentation prints them.
        let share = |shares, lendable_percent| Share { shares, lendable_percent, borrowing_percent: None };
        let shares = [
            share(30, 0),
            share(40, 25),
            share(10, 0),
            share(40, 50),
            share(100, 90),
            share(20, 50),
            share(5, 0),
            share(0, 0),
        ];
        let got: Vec<_> = bounds(600, &shares).iter().map(|b| (b.nominal, b.lower)).collect();
        let want = [(74, 74), (98, 73), (25, 25), (98, 49), (245, 24), (49, 24), (13, 13), (0, 0)];
        assert_eq!(got, want);
        let bounded = Share { shares: 1, lendable_percent: 0, borrowing_percent: Some(50) };
        assert_eq!(bounds(100, &[bounded]), [Bounds { nominal: 100, lower: 100, upper: 150 }]);
        assert_eq!(bounds(100, &[share(0, 0)])[0].nominal, 0, "nobody has a share");
    }

    #[test]
    fn wishes_are_met_in_the_same_proportion() {
        let wish = |lower, upper, target| Wish { lower, upper, target };
        let check = |sum: f64, wishes: &[Wish], want: &[f64]| {
            let (got, _) = allocate(sum, wishes);
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} {want:?}");
        };
        check(100.0, &[wish(0.0, 200.0, 10.0), wish(0.0, 200.0, 30.0)], &[25.0, 75.0]);
        check(100.0, &[wish(40.0, 200.0, 10.0), wish(0.0, 200.0, 30.0)], &[40.0, 60.0]);
        check(100.0, &[wish(0.0, 20.0, 10.0), wish(0.0, 200.0, 10.0)], &[20.0, 80.0]);
        check(10.0, &[wish(8.0, 20.0, 10.0), wish(7.0, 20.0, 10.0)], &[8.0, 7.0]);
        check(100.0, &[wish(0.0, 20.0, 10.0)], &[20.0]);
        check(100.0, &[wish(5.0, 100.0, 0.0), wish(5.0, 100.0, 1.0)], &[5.0, 95.0]);
    }
}
