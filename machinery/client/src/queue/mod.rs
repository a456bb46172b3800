//! The work queue of a control loop: keys wait once however often they are added, one key is never worked on twice at
//! a time, and a key that failed comes back later and later.
//!
//! [`state`] is the pure part; this file adds waiting, metrics and the worker loop.

mod limits;
mod state;
#[cfg(test)]
mod tests;
mod workers;

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntGauge};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use limits::RateLimits;
pub use workers::{Outcome, run_workers};

use crate::metrics::METRICS;
use limits::Limiter;
use state::State;

struct Meters {
    depth: IntGauge,
    adds: IntCounter,
    retries: IntCounter,
    queue_seconds: Histogram,
    work_seconds: Histogram,
}

struct Inner<T> {
    name: &'static str,
    state: Mutex<State<T>>,
    limiter: Mutex<Limiter<T>>,
    /// Told when something is there to take, when the earliest delay changed, and at shutdown.
    news: Notify,
    /// Held by the one worker that waits for news or for the next delay to pass; the others wait for the turn. So a
    /// passing delay wakes one worker, not all.
    turn: tokio::sync::Mutex<()>,
    meters: Meters,
}

/// A handle on a work queue; clones are the same queue.
pub struct WorkQueue<T>(Arc<Inner<T>>);

impl<T> Clone for WorkQueue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone + Eq + Hash + Send + 'static> WorkQueue<T> {
    /// A queue with upstream's default limits. `name` labels its metrics.
    pub fn new(name: &'static str) -> Self {
        Self::with_limits(name, RateLimits::default())
    }

    pub fn with_limits(name: &'static str, limits: RateLimits) -> Self {
        let meters = Meters {
            depth: METRICS.depth.with_label_values(&[name]),
            adds: METRICS.adds.with_label_values(&[name]),
            retries: METRICS.retries.with_label_values(&[name]),
            queue_seconds: METRICS.queue_seconds.with_label_values(&[name]),
            work_seconds: METRICS.work_seconds.with_label_values(&[name]),
        };
        Self(Arc::new(Inner {
            name,
            state: Mutex::new(State::new()),
            limiter: Mutex::new(Limiter::new(limits)),
            news: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            meters,
        }))
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Adds an item, unless it waits already. An item that is being worked on waits until that is done.
    pub fn add(&self, item: T) {
        if self.0.state.lock().add(item, Instant::now()) {
            self.0.meters.adds.inc();
            self.0.meters.depth.inc();
            self.0.news.notify_one();
        }
    }

    /// Adds an item after a delay. Of two delays for one item the earlier counts.
    pub fn add_after(&self, item: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(item);
        }
        if self.0.state.lock().add_at(item, Instant::now() + delay) {
            self.0.news.notify_one();
        }
    }

    /// Adds an item that failed, after a delay that grows with its failures.
    pub fn add_rate_limited(&self, item: T) {
        let delay = self.0.limiter.lock().delay(&item, Instant::now());
        self.0.meters.retries.inc();
        self.add_after(item, delay);
    }

    /// The item succeeded: its next failure starts from the shortest delay.
    pub fn forget(&self, item: &T) {
        self.0.limiter.lock().forget(item);
    }

    /// Failures since the last [`forget`](Self::forget).
    pub fn requeues(&self, item: &T) -> u32 {
        self.0.limiter.lock().failures(item)
    }

    /// The next item, when there is one. It must be given back with [`done`](Self::done). `None` when the queue was
    /// shut down and is drained. Safe to cancel.
    pub async fn get(&self) -> Option<T> {
        let _turn = self.0.turn.lock().await;
        loop {
            let next_delay = {
                let mut state = self.0.state.lock();
                let now = Instant::now();
                let ripe = state.ripen(now);
                self.0.meters.adds.inc_by(ripe as u64);
                self.0.meters.depth.add(ripe as i64);
                if let Some((item, waited)) = state.take(now) {
                    self.0.meters.depth.dec();
                    self.0.meters.queue_seconds.observe(waited.as_secs_f64());
                    return Some(item);
                }
                if state.is_over() {
                    return None;
                }
                state.next_delay()
            };
            match next_delay {
                Some(at) => {
                    tokio::select! {
                        () = self.0.news.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => self.0.news.notified().await,
            }
        }
    }

    /// The work on an item is over; if it was added meanwhile, it waits again.
    pub fn done(&self, item: &T) {
        let (worked, again) = self.0.state.lock().done(item, Instant::now());
        if let Some(worked) = worked {
            self.0.meters.work_seconds.observe(worked.as_secs_f64());
        }
        if again {
            self.0.meters.depth.inc();
        }
        // Also when nothing waits: the last item of a queue that was shut down may just have been given back.
        self.0.news.notify_one();
    }

    /// Nothing is taken in any more, delayed items are dropped; what waits is still given out.
    pub fn shut_down(&self) {
        self.0.state.lock().shut_down();
        self.0.news.notify_one();
    }

    /// Items that wait now; neither those being worked on nor those delayed.
    pub fn len(&self) -> usize {
        self.0.state.lock().waiting()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
