//! Fair queuing: the pure core of a priority level. Time comes in as nanoseconds; requests that may begin come out.
//!
//! Each queue has a virtual time at which it may dispatch next; the queue whose next request would end first in virtual
//! time goes first. Virtual time runs as fast as a queue is served if all active queues are served alike. A request is
//! charged what it is expected to take, and the difference when it ends. Only active queues exist.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::demand::{Integrator, Sample};
use crate::estimate::Work;
use crate::shard::deal;

/// How long a request is expected to be served: three milliseconds.
const SERVICE: f64 = 3e6;

/// The queues of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) queues: u32,
    pub(crate) hand: u32,
    pub(crate) length: u32,
}

/// Where a request is, for as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    queue: u32,
    number: u64,
}

/// A request that has begun: given back to [`Queues::finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    queue: u32,
    started: u64,
    work: Work,
}

impl Grant {
    pub(crate) fn started(&self) -> u64 {
        self.started
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    QueueFull,
    ConcurrencyLimit,
}

/// What became of an arrival. One that is queued may be among those released at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Begins(Grant),
    Queued(Ticket),
    Refused(Refusal),
}

/// A request that waits; `T` is what its owner wants back when it begins.
pub(crate) struct Waiting<T> {
    number: u64,
    pub(crate) work: Work,
    pub(crate) arrived: u64,
    arrived_virtually: f64,
    pub(crate) owner: T,
}

struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    executing: u32,
    seats: u32,
    /// In virtual time.
    next: f64,
}

/// A queue as it stands, for the debugging pages.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct QueueState {
    pub(crate) waiting: usize,
    pub(crate) executing: u32,
    pub(crate) seats: u32,
    pub(crate) next: f64,
    pub(crate) initial_seats: u64,
    pub(crate) seats_max: u64,
    pub(crate) work: f64,
}

/// Hashes the index of a queue: nobody outside chooses which collide.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, index: u32) {
        self.0 = (self.0 ^ u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

pub(crate) struct Queues<T> {
    /// `None`: who finds no seat is refused.
    shape: Option<Shape>,
    /// Seats there are now.
    limit: u32,
    seats: u32,
    executing: u32,
    waiting: u32,
    waiting_seats: u64,
    /// Virtual time, and the real time it was computed at.
    virtually: f64,
    now: u64,
    active: HashMap<u32, Queue<T>, BuildHasherDefault<Spread>>,
    /// Seats of requests that have ended, kept until their consequences are over: when, which queue, how many.
    lingering: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// The queue that went last; of equals, the next after it goes first.
    last: u32,
    numbers: u64,
    demand: Integrator,
}

impl<T> Queues<T> {
    pub(crate) fn new(shape: Option<Shape>, limit: u32, now: u64) -> Self {
        let mut queues = Self {
            shape,
            limit,
            seats: 0,
            executing: 0,
            waiting: 0,
            waiting_seats: 0,
            virtually: 0.0,
            now,
            active: HashMap::default(),
            lingering: BinaryHeap::new(),
            last: 0,
            numbers: 0,
            demand: Integrator::default(),
        };
        queues.demand.reset(now);
        queues
    }

    /// A request of the flow with this hash. `owner` is made only for one that waits. Those that may begin are put into
    /// `released` with their owners.
    pub(crate) fn arrive(
        &mut self,
        now: u64,
        flow: u64,
        work: Work,
        owner: impl FnOnce() -> T,
        released: &mut Vec<(T, Grant)>,
    ) -> Arrival {
        self.advance(now, released);
        let fits = self.fits(work.seats());
        let Some(shape) = self.shape else {
            return if fits { self.begin(0, work) } else { Arrival::Refused(Refusal::ConcurrencyLimit) };
        };
        let queue = self.choose(flow, &shape);
        if self.waiting == 0 && fits {
            return self.begin(queue, work);
        }
        let length = self.active.get(&queue).map_or(0, |queue| queue.waiting.len());
        if length >= shape.length as usize && self.seats >= self.limit {
            return Arrival::Refused(Refusal::QueueFull);
        }
        self.numbers += 1;
        let (number, arrived_virtually) = (self.numbers, self.virtually);
        self.waiting += 1;
        self.waiting_seats += u64::from(work.seats());
        let waiting = Waiting { number, work, arrived: self.now, arrived_virtually, owner: owner() };
        self.queue(queue).waiting.push_back(waiting);
        self.dispatch(released);
        self.note_demand();
        Arrival::Queued(Ticket { queue, number })
    }

    /// A request has been served.
    pub(crate) fn finish(&mut self, now: u64, grant: &Grant, released: &mut Vec<(T, Grant)>) {
        self.advance(now, released);
        self.executing -= 1;
        let seats = grant.work.seats();
        let took = now.saturating_sub(grant.started) as f64;
        if let Some(queue) = self.active.get_mut(&grant.queue) {
            queue.executing -= 1;
            // It was charged what was expected; now it is known.
            queue.next += f64::from(grant.work.initial_seats) * (took - SERVICE);
            // A queue does not save up time that it had nothing to use on.
            if let Some(first) = queue.waiting.front() {
                queue.next = queue.next.max(first.arrived_virtually);
            }
        }
        let lingers = u64::try_from(grant.work.additional_latency.as_nanos()).unwrap_or(u64::MAX);
        if lingers > 0 {
            self.lingering.push(Reverse((now.saturating_add(lingers), grant.queue, seats)));
        } else {
            self.release(grant.queue, seats);
        }
        self.dispatch(released);
        self.note_demand();
    }

    /// Takes a waiting request back. `None` where it has begun already.
    pub(crate) fn cancel(&mut self, now: u64, ticket: Ticket, released: &mut Vec<(T, Grant)>) -> Option<T> {
        self.advance(now, released);
        let queue = self.active.get_mut(&ticket.queue)?;
        let place = queue.waiting.iter().position(|waiting| waiting.number == ticket.number)?;
        let gone = queue.waiting.remove(place)?;
        self.waiting -= 1;
        self.waiting_seats -= u64::from(gone.work.seats());
        self.forget_idle(ticket.queue);
        self.dispatch(released);
        self.note_demand();
        Some(gone.owner)
    }

    pub(crate) fn configure(
        &mut self,
        now: u64,
        shape: Option<Shape>,
        limit: u32,
        released: &mut Vec<(T, Grant)>,
    ) {
        self.advance(now, released);
        self.shape = shape;
        self.limit = limit;
        self.dispatch(released);
        self.note_demand();
    }

    /// Gives seats back whose time has come.
    pub(crate) fn tick(&mut self, now: u64, released: &mut Vec<(T, Grant)>) {
        self.advance(now, released);
        self.note_demand();
    }

    /// When [`tick`](Self::tick) would let somebody begin who waits.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        let Reverse((at, ..)) = self.lingering.peek()?;
        (self.waiting > 0).then_some(*at)
    }

    /// The demand since the last call.
    pub(crate) fn sample(&mut self, now: u64) -> Sample {
        self.demand.reset(now)
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    #[cfg(test)]
    pub(crate) fn seats(&self) -> u32 {
        self.seats
    }

    pub(crate) fn executing(&self) -> u32 {
        self.executing
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The queues that have requests, by index.
    pub(crate) fn states(&self) -> Vec<(u32, QueueState)> {
        let mut states: Vec<_> = self.active.iter().map(|(index, queue)| (*index, queue.state())).collect();
        states.sort_by_key(|(index, _)| *index);
        states
    }

    /// Every waiting request: its queue, its place in it.
    pub(crate) fn all_waiting(&self) -> Vec<(u32, usize, &Waiting<T>)> {
        let mut all: Vec<_> = self
            .active
            .iter()
            .flat_map(|(index, queue)| queue.waiting.iter().enumerate().map(|(place, w)| (*index, place, w)))
            .collect();
        all.sort_by_key(|(index, place, _)| (*index, *place));
        all
    }

    /// Lets real time reach `now`, with everything that happens on the way.
    fn advance(&mut self, now: u64, released: &mut Vec<(T, Grant)>) {
        while let Some(Reverse((at, queue, seats))) = self.lingering.peek().copied()
            && at <= now
        {
            self.pass(at);
            self.lingering.pop();
            self.release(queue, seats);
            self.dispatch(released);
        }
        self.pass(now);
    }

    fn pass(&mut self, now: u64) {
        let passed = now.saturating_sub(self.now) as f64;
        self.now = self.now.max(now);
        if self.active.is_empty() {
            // Nobody remembers a virtual time: begin anew, so that it never grows large.
            self.virtually = 0.0;
            return;
        }
        // By what is served, not by what could be: seats that stay empty because the first in line is wide are no one's.
        let rate = f64::from(self.seats) / self.active.len() as f64;
        self.virtually += passed * rate;
    }

    fn queue(&mut self, index: u32) -> &mut Queue<T> {
        let next = self.virtually;
        self.active.entry(index).or_insert_with(|| Queue {
            waiting: VecDeque::new(),
            executing: 0,
            seats: 0,
            next,
        })
    }

    /// Of the flow's hand, the queue with the least to do.
    fn choose(&self, flow: u64, shape: &Shape) -> u32 {
        let mut best = (f64::INFINITY, 0);
        for index in deal(flow, shape.queues, shape.hand) {
            let Some(queue) = self.active.get(&index) else { return index };
            let load = queue.load();
            if load < best.0 {
                best = (load, index);
            }
        }
        best.1
    }

    /// One that is wider than the level is served alone.
    fn fits(&self, seats: u32) -> bool {
        if seats > self.limit {
            return self.seats == 0;
        }
        self.seats.saturating_add(seats) <= self.limit
    }

    fn begin(&mut self, index: u32, work: Work) -> Arrival {
        let grant = self.start(index, work);
        self.note_demand();
        Arrival::Begins(grant)
    }

    fn start(&mut self, index: u32, work: Work) -> Grant {
        let seats = work.seats();
        self.seats += seats;
        self.executing += 1;
        let started = self.now;
        let queue = self.queue(index);
        queue.executing += 1;
        queue.seats += seats;
        queue.next += cost(&work);
        Grant { queue: index, started, work }
    }

    fn release(&mut self, index: u32, seats: u32) {
        self.seats -= seats;
        if let Some(queue) = self.active.get_mut(&index) {
            queue.seats -= seats;
        }
        self.forget_idle(index);
    }

    fn forget_idle(&mut self, index: u32) {
        if self.active.get(&index).is_some_and(Queue::is_idle) {
            self.active.remove(&index);
        }
    }

    /// Lets as many begin as fit. The first in line is waited for: nobody overtakes it.
    fn dispatch(&mut self, released: &mut Vec<(T, Grant)>) {
        while self.waiting > 0 {
            let Some(index) = self.first_in_line() else { return };
            let front = self.active.get(&index).and_then(|queue| queue.waiting.front());
            if !front.is_some_and(|first| self.fits(first.work.seats())) {
                return;
            }
            let Some(first) = self.queue(index).waiting.pop_front() else { return };
            self.waiting -= 1;
            self.waiting_seats -= u64::from(first.work.seats());
            self.last = index;
            let grant = self.start(index, first.work);
            released.push((first.owner, grant));
        }
    }

    /// The queue whose first request would end first in virtual time.
    fn first_in_line(&self) -> Option<u32> {
        let mut best: Option<(f64, u32, u32)> = None;
        for (index, queue) in &self.active {
            let Some(first) = queue.waiting.front() else { continue };
            let end = queue.next + f64::from(first.work.initial_seats) * SERVICE;
            let turn = index.wrapping_sub(self.last).wrapping_sub(1);
            if best.is_none_or(|(least, soonest, _)| end < least || (end <= least && turn < soonest)) {
                best = Some((end, turn, *index));
            }
        }
        best.map(|(_, _, index)| index)
    }

    fn note_demand(&mut self) {
        self.demand.set(self.now, f64::from(self.seats) + self.waiting_seats as f64);
    }
}

/// What a request is charged: seats times time.
fn cost(work: &Work) -> f64 {
    f64::from(work.initial_seats) * SERVICE
        + f64::from(work.final_seats) * work.additional_latency.as_nanos() as f64
}

impl<T> Queue<T> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.executing == 0 && self.seats == 0
    }

    fn load(&self) -> f64 {
        f64::from(self.seats) * SERVICE + self.waiting.iter().map(|waiting| cost(&waiting.work)).sum::<f64>()
    }

    fn state(&self) -> QueueState {
        let sum = |of: fn(&Work) -> u32| self.waiting.iter().map(|w| u64::from(of(&w.work))).sum();
        QueueState {
            waiting: self.waiting.len(),
            executing: self.executing,
            seats: self.seats,
            next: self.next,
            initial_seats: sum(|work| work.initial_seats),
            seats_max: sum(Work::seats),
            work: self.waiting.iter().map(|w| cost(&w.work)).sum(),
        }
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
