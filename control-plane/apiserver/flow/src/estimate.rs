//! What a request is expected to cost, in seats and time.

use std::time::Duration;

/// Objects that a list handles per seat, where it is counted by objects.
const OBJECTS_PER_SEAT: u64 = 100;
/// Bytes that a list holds at once per seat, where it is counted by bytes.
const BYTES_PER_SEAT: u64 = 100_000;
/// A list that streams from the cache holds no more than this at once.
const STREAMED_BYTES_MAX: u64 = 1_000_000;
/// What an object is taken to be as large as if nobody knows.
const OBJECT_BYTES_MAX: u64 = 1_500_000;
/// The widest list that is counted by objects, and the widest write.
const SEATS_MAX: u32 = 10;
/// The widest list that is counted by bytes.
const LIST_SEATS_MAX: u32 = 100;
/// Watchers that are told of a change per seat.
const WATCHERS_PER_SEAT: u64 = 10;
/// How long telling them takes a seat.
const EVENT_DURATION: Duration = Duration::from_millis(5);

/// The seats of a request: while it is served, and for the time that its consequences take after it has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub initial_seats: u32,
    pub final_seats: u32,
    pub additional_latency: Duration,
}

impl Work {
    /// What most requests cost.
    pub const ONE: Self = Self { initial_seats: 1, final_seats: 0, additional_latency: Duration::ZERO };

    /// The seats that are taken: the same from beginning to end.
    pub fn seats(&self) -> u32 {
        self.initial_seats.max(self.final_seats).max(1)
    }
}

/// What a list (or a watch with initial events) is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListShape {
    /// Objects of the resource there are.
    pub stored: u64,
    /// The page's limit; 0 is none.
    pub limit: u64,
    /// Answered from the cache, which looks at every object; pages of a past revision come from the store.
    pub from_cache: bool,
    /// With a label or field selector.
    pub selective: bool,
    /// One object by `metadata.name`.
    pub by_name: bool,
}

/// The width of a list by the bytes that it holds at once (`SizeBasedListCostEstimate`, on by default in 1.36). `average` is
/// an object's size, 0 if it is not known; `seats_max` is the level's.
pub fn list_work_by_size(shape: &ListShape, average: u64, seats_max: u32) -> Work {
    let average = if average == 0 { OBJECT_BYTES_MAX } else { average };
    let limited = if shape.limit > 0 { shape.limit.min(shape.stored) } else { shape.stored };
    let objects = match (shape.by_name, shape.from_cache, shape.selective) {
        (true, ..) => 1,
        (false, false, true) => limited.max(shape.stored / 2),
        (false, ..) => limited,
    };
    let bytes = objects.saturating_mul(average);
    let at_once = if shape.from_cache { bytes.min(STREAMED_BYTES_MAX) } else { bytes };
    wide(at_once.div_ceil(BYTES_PER_SEAT), seats_max.min(LIST_SEATS_MAX))
}

/// The width of a list by the objects that it looks at, as before 1.34.
pub fn list_work(shape: &ListShape, seats_max: u32) -> Work {
    if shape.by_name {
        return Work::ONE;
    }
    let limit = if shape.limit > 0 { shape.limit.min(shape.stored) } else { shape.stored };
    let objects = match (shape.from_cache, shape.selective) {
        (true, _) => shape.stored,
        (false, true) => shape.stored.saturating_add(limit),
        (false, false) => limit.saturating_mul(2),
    };
    wide(objects.div_ceil(OBJECTS_PER_SEAT), seats_max.min(SEATS_MAX))
}

fn wide(seats: u64, seats_max: u32) -> Work {
    let seats = seats.clamp(1, u64::from(seats_max.max(1)));
    Work { initial_seats: u32::try_from(seats).expect("clamped"), ..Work::ONE }
}

/// A write costs, after its answer, what telling the watchers of its resource costs.
pub fn mutating_work(watchers: u64, seats_max: u32) -> Work {
    let seats = watchers.div_ceil(WATCHERS_PER_SEAT);
    if seats == 0 || watchers < WATCHERS_PER_SEAT {
        return Work::ONE;
    }
    let most = seats_max.clamp(1, SEATS_MAX);
    let taken = u32::try_from(seats.min(u64::from(most))).expect("clamped");
    let nanos = EVENT_DURATION.as_nanos() as u64;
    let additional_latency = Duration::from_nanos(nanos.saturating_mul(seats) / u64::from(taken));
    Work { initial_seats: 1, final_seats: taken, additional_latency }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_wide_as_what_they_look_at() {
        let check = |stored, limit, from_cache, selective, want| {
            let shape = ListShape { stored, limit, from_cache, selective, by_name: false };
            assert_eq!(list_work(&shape, 10).seats(), want, "{shape:?}");
        };
        check(0, 0, true, false, 1);
        check(100, 0, true, false, 1);
        check(101, 0, true, false, 2);
        check(5_000, 0, true, false, 10);
        check(1_000, 100, false, false, 2);
        check(300, 100, false, true, 4);
        check(50, 500, false, false, 1);
        let one = ListShape { stored: 10_000, by_name: true, ..ListShape::default() };
        assert_eq!(list_work(&one, 10), Work::ONE);
    }

    #[test]
    fn lists_are_as_wide_as_what_they_hold() {
        let check = |average, stored, limit, selective, from_cache, by_name, want| {
            let shape = ListShape { stored, limit, from_cache, selective, by_name };
            assert_eq!(list_work_by_size(&shape, average, 100).seats(), want, "{average} {shape:?}");
        };
        check(1_000, 100, 0, false, false, false, 1);
        check(1_000, 3_000, 0, false, true, false, 10);
        check(1_000, 3_000, 500, false, true, false, 5);
        check(1_000, 3_000, 0, false, false, false, 30);
        check(1_000, 3_000, 500, true, false, false, 15);
        check(1_000, 3_000, 500, false, false, false, 5);
        check(1_000_000, 3_000, 0, false, false, false, 100);
        check(1_000_000, 3_000, 0, false, true, true, 10);
        check(0, 3, 0, false, false, false, 45);
        check(0, 0, 0, false, true, false, 1);
    }

    #[test]
    fn writes_cost_their_watchers() {
        assert_eq!(mutating_work(0, 10), Work::ONE);
        assert_eq!(mutating_work(9, 10), Work::ONE);
        let forty = mutating_work(40, 10);
        assert_eq!((forty.seats(), forty.additional_latency), (4, Duration::from_millis(5)));
        let many = mutating_work(400, 10);
        assert_eq!((many.seats(), many.additional_latency), (10, Duration::from_millis(20)));
    }
}
