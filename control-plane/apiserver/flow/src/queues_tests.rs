//! The core under virtual time: tables, fairness between flows, and a random history checked at each step.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn wide(seats: u32) -> Work {
    Work { initial_seats: seats, ..Work::ONE }
}

fn queues(queues: u32, hand: u32, length: u32, limit: u32) -> Queues<u32> {
    Queues::new(Some(Shape { queues, hand, length }), limit, 0)
}

/// A level under load: flows whose clients send the next request as soon as one is served.
struct Load {
    level: Queues<u32>,
    now: u64,
    /// Under way: when it ends, whose it is.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    grants: Vec<Option<(u32, Grant)>>,
    served: Vec<u64>,
    work_done: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Flow {
    hash: u64,
    clients: u32,
    work: Work,
    takes: u64,
}

impl Load {
    fn run(level: Queues<u32>, flows: &[Flow], until: u64) -> Self {
        let mut load = Self {
            level,
            now: 0,
            running: BinaryHeap::new(),
            grants: Vec::new(),
            served: vec![0; flows.len()],
            work_done: vec![0.0; flows.len()],
        };
        for (index, flow) in flows.iter().enumerate() {
            for _ in 0..flow.clients {
                load.send(flows, index as u32);
            }
        }
        while let Some(Reverse((at, place))) = load.running.pop()
            && at <= until
        {
            load.now = at;
            let (flow, grant) = load.grants[place].take().expect("it runs once");
            let mut released = Vec::new();
            load.level.finish(at, &grant, &mut released);
            load.served[flow as usize] += 1;
            load.work_done[flow as usize] +=
                f64::from(grant.work.seats()) * flows[flow as usize].takes as f64;
            load.start_all(flows, released);
            load.send(flows, flow);
        }
        load
    }

    fn send(&mut self, flows: &[Flow], index: u32) {
        let flow = flows[index as usize];
        let mut released = Vec::new();
        if let Arrival::Begins(grant) =
            self.level.arrive(self.now, flow.hash, flow.work, || index, &mut released)
        {
            self.start(flows, index, grant);
        }
        self.start_all(flows, released);
    }

    fn start_all(&mut self, flows: &[Flow], released: Vec<(u32, Grant)>) {
        released.into_iter().for_each(|(index, grant)| self.start(flows, index, grant));
    }

    fn start(&mut self, flows: &[Flow], index: u32, grant: Grant) {
        self.running.push(Reverse((self.now + flows[index as usize].takes, self.grants.len())));
        self.grants.push(Some((index, grant)));
    }
}

/// Hashes whose hands in 64 queues of hand 1 are different queues.
fn flow(hash: u64, clients: u32, seats: u32, takes: u64) -> Flow {
    Flow { hash, clients, work: wide(seats), takes }
}

#[test]
fn a_heavy_flow_gets_no_more_than_a_light_one() {
    let check = |name: &str, flows: &[Flow]| {
        let load = Load::run(queues(64, 1, 1000, 4), flows, 20_000 * MS);
        let (least, most) =
            load.work_done.iter().fold((f64::MAX, 0.0_f64), |(a, b), work| (a.min(*work), b.max(*work)));
        assert!(most / least < 1.1, "{name}: {:?}", load.work_done);
    };
    check("many clients against few", &[flow(0, 100, 1, 10 * MS), flow(1, 8, 1, 10 * MS)]);
    check("three flows", &[flow(0, 200, 1, 5 * MS), flow(1, 20, 1, 5 * MS), flow(2, 8, 1, 5 * MS)]);
    check("long requests against short", &[flow(0, 50, 1, 50 * MS), flow(1, 50, 1, 5 * MS)]);
    check("wide requests against narrow", &[flow(0, 50, 3, 10 * MS), flow(1, 50, 1, 10 * MS)]);
}

#[test]
fn a_flow_that_needs_less_than_its_part_never_waits_long() {
    let flows = [flow(0, 500, 1, 10 * MS), flow(1, 1, 1, 10 * MS)];
    let load = Load::run(queues(64, 1, 1000, 4), &flows, 10_000 * MS);
    // Alone it would be served a thousand times; one seat of four is its part.
    assert!(load.served[1] > 450, "{:?}", load.served);
}

#[test]
fn who_is_refused_and_who_waits() {
    let mut released = Vec::new();
    let mut level = queues(1, 1, 1, 2);
    let mut arrive =
        |level: &mut Queues<u32>, name: u32, work| level.arrive(0, 0, work, || name, &mut released);
    assert!(matches!(arrive(&mut level, 1, wide(1)), Arrival::Begins(_)));
    let Arrival::Begins(second) = arrive(&mut level, 2, wide(1)) else { panic!("there is a seat") };
    let Arrival::Queued(third) = arrive(&mut level, 3, wide(1)) else { panic!("there is a place") };
    assert_eq!(arrive(&mut level, 4, wide(1)), Arrival::Refused(Refusal::QueueFull));
    assert_eq!((level.seats(), level.executing(), level.waiting()), (2, 2, 1));
    assert!(released.is_empty());
    assert_eq!(level.cancel(MS, third, &mut released), Some(3));
    assert_eq!(level.cancel(MS, third, &mut released), None, "it is gone");
    let Arrival::Queued(fifth) = level.arrive(MS, 0, wide(1), || 5, &mut released) else { panic!("a place") };
    level.finish(2 * MS, &second, &mut released);
    assert_eq!(released.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [5]);
    assert_eq!(level.cancel(2 * MS, fifth, &mut released), None, "it has begun");

    let mut rejecting: Queues<u32> = Queues::new(None, 1, 0);
    assert!(matches!(rejecting.arrive(0, 7, wide(1), || 1, &mut released), Arrival::Begins(_)));
    let refused = rejecting.arrive(0, 8, wide(1), || 2, &mut released);
    assert_eq!(refused, Arrival::Refused(Refusal::ConcurrencyLimit));
}

#[test]
fn a_wide_request_is_waited_for_and_one_wider_than_all_is_served_alone() {
    let mut released = Vec::new();
    let mut level = queues(64, 1, 10, 2);
    let Arrival::Begins(one) = level.arrive(0, 0, wide(1), || 1, &mut released) else { panic!("a seat") };
    assert!(matches!(level.arrive(0, 1, wide(5), || 2, &mut released), Arrival::Queued(_)));
    assert!(matches!(level.arrive(5 * MS, 2, wide(1), || 3, &mut released), Arrival::Queued(_)));
    // The narrow one would end first, and there is a seat for it.
    assert_eq!(released.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [3]);
    let (_, three) = released.pop().expect("one");
    level.finish(6 * MS, &one, &mut released);
    assert!(released.is_empty(), "the wide one waits until it is alone");
    level.finish(7 * MS, &three, &mut released);
    assert_eq!(released.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [2]);
}

#[test]
fn seats_linger_until_the_consequences_are_over() {
    let mut released = Vec::new();
    let mut level = queues(1, 1, 10, 3);
    let work = Work { initial_seats: 1, final_seats: 3, additional_latency: Duration::from_millis(5) };
    let Arrival::Begins(write) = level.arrive(0, 0, work, || 1, &mut released) else { panic!("seats") };
    level.finish(MS, &write, &mut released);
    assert_eq!((level.seats(), level.executing(), level.next_tick()), (3, 0, None));
    assert!(matches!(level.arrive(2 * MS, 0, wide(1), || 2, &mut released), Arrival::Queued(_)));
    assert_eq!(level.next_tick(), Some(6 * MS));
    level.tick(6 * MS, &mut released);
    assert_eq!(released.len(), 1);
    assert_eq!(level.seats(), 1);
    level.finish(7 * MS, &released[0].1.clone(), &mut Vec::new());
    assert!(level.states().is_empty(), "an idle level remembers nothing");
}

#[test]
fn a_new_limit_is_used_at_once() {
    let mut released = Vec::new();
    let mut level = queues(8, 2, 50, 1);
    for name in 0..6 {
        level.arrive(0, u64::from(name), wide(1), || name, &mut released);
    }
    assert_eq!(level.waiting(), 5);
    level.configure(MS, level.shape(), 4, &mut released);
    assert_eq!((released.len(), level.seats(), level.waiting()), (3, 4, 2));
    level.configure(MS, level.shape(), 1, &mut released);
    assert_eq!(level.seats(), 4, "nobody is put out");
}

#[derive(Debug, Clone)]
enum Step {
    Arrive { flow: u64, seats: u32, lingers: u64 },
    Finish(usize),
    Cancel(usize),
    Limit(u32),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (0..6_u64, 1..4_u32, 0..3_u64).prop_map(|(flow, seats, l)| Step::Arrive { flow, seats, lingers: l * MS }),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (1..8_u32).prop_map(Step::Limit),
    ];
    prop::collection::vec((0..4 * MS, step), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Seats are never given twice, nobody is lost, nobody waits while the first in line would fit, and when all is done
    /// nothing is left.
    #[test]
    fn limits_hold_and_nobody_is_lost(history in steps(), reject in any::<bool>()) {
        let shape = (!reject).then_some(Shape { queues: 4, hand: 2, length: 3 });
        let mut level: Queues<u32> = Queues::new(shape, 5, 0);
        let (mut now, mut next, mut lowered) = (0, 0_u32, false);
        let mut waiting: Vec<(u32, Ticket)> = Vec::new();
        let mut running: Vec<Grant> = Vec::new();
        let mut released: Vec<(u32, Grant)> = Vec::new();
        for (passed, step) in history {
            now += passed;
            match step {
                Step::Arrive { flow, seats, lingers } => {
                    next += 1;
                    let linger = Duration::from_nanos(lingers);
                    let work = Work { initial_seats: 1, final_seats: seats, additional_latency: linger };
                    match level.arrive(now, flow, work, || next, &mut released) {
                        Arrival::Begins(grant) => running.push(grant),
                        Arrival::Queued(ticket) => waiting.push((next, ticket)),
                        Arrival::Refused(_) => {}
                    }
                }
                Step::Finish(pick) if !running.is_empty() => {
                    let grant = running.swap_remove(pick % running.len());
                    level.finish(now, &grant, &mut released);
                }
                Step::Cancel(pick) if !waiting.is_empty() => {
                    let (name, ticket) = waiting[pick % waiting.len()];
                    if let Some(owner) = level.cancel(now, ticket, &mut released) {
                        prop_assert_eq!(owner, name);
                        waiting.retain(|(other, _)| *other != name);
                    }
                }
                Step::Limit(limit) => {
                    lowered |= limit < level.limit();
                    level.configure(now, shape, limit, &mut released);
                }
                _ => {}
            }
            for (name, grant) in released.drain(..) {
                let known = waiting.iter().position(|(other, _)| *other == name);
                prop_assert!(known.is_some(), "{} was released twice or never waited", name);
                waiting.swap_remove(known.expect("checked"));
                running.push(grant);
            }
            prop_assert_eq!(level.waiting() as usize, waiting.len());
            prop_assert_eq!(level.executing() as usize, running.len());
            // The widest has three seats; it may be wider than the level, and is alone then.
            let alone = running.len() <= 1 && level.seats() <= 3;
            prop_assert!(lowered || alone || level.seats() <= level.limit(), "{} of {}", level.seats(), level.limit());
            if let Some(index) = level.first_in_line() {
                let first = level.active[&index].waiting.front().expect("it waits").work.seats();
                prop_assert!(!level.fits(first), "the first in line is kept waiting");
            }
        }
        while !running.is_empty() || !waiting.is_empty() {
            now += MS;
            match running.pop() {
                Some(grant) => level.finish(now, &grant, &mut released),
                None => level.tick(now, &mut released),
            }
            for (name, grant) in released.drain(..) {
                waiting.retain(|(other, _)| *other != name);
                running.push(grant);
            }
            prop_assert!(now < 1_000_000 * MS, "somebody starves: {} wait", waiting.len());
        }
        level.tick(now + 1_000 * MS, &mut released);
        prop_assert_eq!((level.seats(), level.executing(), level.waiting()), (0, 0, 0));
        prop_assert!(level.states().is_empty());
    }
}
