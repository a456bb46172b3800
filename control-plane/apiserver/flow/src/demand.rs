//! How many seats a level would use: sampled over a period, and smoothed over periods.

/// How fast a fall of demand is believed; a rise is believed at once. (Upstream's coefficient, for ten seconds.)
const SMOOTHING: f64 = 0.977;

/// Seats over time, since the last [`reset`](Self::reset).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Integrator {
    since: u64,
    at: u64,
    seats: f64,
    sum: f64,
    squares: f64,
    most: f64,
}

/// What a period looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) average: f64,
    pub(crate) deviation: f64,
    pub(crate) most: f64,
}

impl Integrator {
    /// From `now` (nanoseconds) on, `seats` are in demand.
    pub(crate) fn set(&mut self, now: u64, seats: f64) {
        let passed = now.saturating_sub(self.at) as f64;
        self.sum += self.seats * passed;
        self.squares += self.seats * self.seats * passed;
        self.at = self.at.max(now);
        self.seats = seats;
        self.most = self.most.max(seats);
    }

    /// The period until `now`; the next begins.
    pub(crate) fn reset(&mut self, now: u64) -> Sample {
        self.set(now, self.seats);
        let passed = now.saturating_sub(self.since) as f64;
        let (average, deviation) = if passed > 0.0 {
            let average = self.sum / passed;
            (average, (self.squares / passed - average * average).max(0.0).sqrt())
        } else {
            (self.seats, 0.0)
        };
        let sample = Sample { average, deviation, most: self.most };
        *self = Self { since: now, at: now, seats: self.seats, most: self.seats, ..Self::default() };
        sample
    }
}

/// The demand that the next period is planned with, after a sample: its envelope, which falls slowly.
pub(crate) fn smooth(before: f64, sample: &Sample) -> f64 {
    let envelope = sample.average + sample.deviation;
    envelope.max(SMOOTHING * before + (1.0 - SMOOTHING) * envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_summed_up() {
        let mut seats = Integrator::default();
        seats.set(0, 4.0);
        seats.set(50, 0.0);
        let sample = seats.reset(100);
        assert_eq!(sample, Sample { average: 2.0, deviation: 2.0, most: 4.0 });
        assert_eq!(seats.reset(200), Sample::default(), "nothing was wanted in the second period");
    }

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let high = Sample { average: 10.0, deviation: 2.0, most: 20.0 };
        let smoothed = smooth(0.0, &high);
        assert!((smoothed - 12.0).abs() < 1e-9);
        let falling = smooth(smoothed, &Sample::default());
        assert!((11.0..12.0).contains(&falling), "{falling}");
    }
}
