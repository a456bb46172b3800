//! A priority level at work: the core of [`crate::queues`] under a lock, the requests that wait for it, and permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use oarlock_api::Status;
use oarlock_base::{Shutdown, TaskSpawner};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::compile::Schema;
use crate::demand::Sample;
use crate::estimate::Work;
use crate::queues::{Arrival, Grant, Queues, Refusal, Shape, Ticket};
use crate::retry::RetryAfter;

/// Why a request was turned away, as metrics say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    QueueFull,
    ConcurrencyLimit,
    TimeOut,
    /// The client went away.
    Cancelled,
}

impl RejectReason {
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::ConcurrencyLimit, Self::TimeOut, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::TimeOut => "time-out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests, please try again later.")]
pub struct Rejection {
    pub reason: RejectReason,
    /// When the client may come back: longer, the more are turned away.
    pub retry_after_seconds: u32,
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        Self::too_many_requests(rejection.to_string(), rejection.retry_after_seconds)
    }
}

/// What all levels of a server share.
pub(crate) struct Shared {
    pub(crate) epoch: Instant,
    /// Somebody had to wait or was refused since this was last looked at.
    pub(crate) contended: AtomicBool,
    pub(crate) contention: Notify,
    pub(crate) tasks: TaskSpawner,
}

impl Shared {
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn contend(&self) {
        if !self.contended.swap(true, Ordering::Relaxed) {
            self.contention.notify_one();
        }
    }
}

/// A request that waits, as the debugging page tells it.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) schema: Arc<str>,
    pub(crate) distinguisher: Box<str>,
}

pub(crate) struct Waiter {
    wake: oneshot::Sender<Grant>,
    pub(crate) details: Details,
}

pub(crate) enum Kind {
    /// Always served; counted for the sharing of seats.
    Exempt {
        seats: AtomicU32,
        most: AtomicU32,
    },
    Limited(Mutex<Queues<Waiter>>),
}

pub(crate) struct Level {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) shared: Arc<Shared>,
    /// A task waits for the clock to give lingering seats back.
    pub(crate) ticking: AtomicBool,
    retry_after: Mutex<RetryAfter>,
}

type Released = Vec<(Waiter, Grant)>;

impl Level {
    fn new(name: Arc<str>, kind: Kind, shared: Arc<Shared>) -> Arc<Self> {
        let (ticking, retry_after) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { name, kind, shared, ticking, retry_after })
    }

    pub(crate) fn exempt(name: Arc<str>, shared: Arc<Shared>) -> Arc<Self> {
        let kind = Kind::Exempt { seats: AtomicU32::new(0), most: AtomicU32::new(0) };
        Self::new(name, kind, shared)
    }

    pub(crate) fn limited(
        name: Arc<str>,
        shape: Option<Shape>,
        limit: u32,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let kind = Kind::Limited(Mutex::new(Queues::new(shape, limit, shared.now())));
        Self::new(name, kind, shared)
    }

    /// Queues and seats from now on.
    pub(crate) fn configure(self: &Arc<Self>, shape: Option<Shape>, limit: u32) {
        self.change(|queues, now, released| queues.configure(now, shape, limit, released));
    }

    pub(crate) fn set_limit(self: &Arc<Self>, limit: u32) {
        self.change(|queues, now, released| {
            let shape = queues.shape();
            queues.configure(now, shape, limit, released);
        });
    }

    /// The demand since the last call.
    pub(crate) fn sample(&self) -> Sample {
        match &self.kind {
            Kind::Exempt { seats, most } => {
                let now = seats.load(Ordering::Relaxed);
                let most = f64::from(most.swap(now, Ordering::Relaxed));
                Sample { average: f64::from(now), deviation: 0.0, most }
            }
            Kind::Limited(queues) => queues.lock().sample(self.shared.now()),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        match &self.kind {
            Kind::Exempt { .. } => 0,
            Kind::Limited(queues) => queues.lock().limit(),
        }
    }

    /// Does something with the queues, and wakes those who may begin after it.
    fn change<R>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Queues<Waiter>, u64, &mut Released) -> R,
    ) -> Option<R> {
        let Kind::Limited(queues) = &self.kind else { return None };
        let mut released = Vec::new();
        let (result, tick) = {
            let mut queues = queues.lock();
            let result = change(&mut queues, self.shared.now(), &mut released);
            (result, queues.next_tick())
        };
        self.wake(released);
        if tick.is_some() {
            self.tick();
        }
        Some(result)
    }

    fn wake(self: &Arc<Self>, released: Released) {
        for (waiter, grant) in released {
            // One that went away at this moment gives its seats back.
            if let Err(grant) = waiter.wake.send(grant) {
                self.finish(&grant);
            }
        }
    }

    fn finish(self: &Arc<Self>, grant: &Grant) {
        self.change(|queues, now, released| queues.finish(now, grant, released));
    }

    /// Sees to it that lingering seats are given back in time to those who wait. No timer runs where nobody waits.
    fn tick(self: &Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let level = self.clone();
        let stop = self.shared.tasks.shutdown().clone();
        self.shared.tasks.spawn("flow-tick", async move { level.ticks(stop).await });
    }

    async fn ticks(self: Arc<Self>, stop: Shutdown) {
        let Kind::Limited(queues) = &self.kind else { return };
        loop {
            let mut released = Vec::new();
            let next = {
                let mut queues = queues.lock();
                queues.tick(self.shared.now(), &mut released);
                let next = queues.next_tick();
                if next.is_none() {
                    // Under the lock: who sees a need later starts the next.
                    self.ticking.store(false, Ordering::Release);
                }
                next
            };
            self.wake(released);
            let Some(at) = next else { return };
            let at = self.shared.epoch + Duration::from_nanos(at);
            if stop.or(tokio::time::sleep_until(at)).await.is_none() {
                return;
            }
        }
    }

    /// A seat, at once or after waiting in a queue for at most `patience`.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        schema: &Arc<Schema>,
        flow: u64,
        distinguisher: &str,
        work: Work,
        patience: Duration,
    ) -> Result<Permit, Rejection> {
        schema.metrics.estimated.observe(f64::from(work.seats()));
        let queues = match &self.kind {
            Kind::Limited(queues) => queues,
            Kind::Exempt { seats, most } => {
                let now = seats.fetch_add(work.seats(), Ordering::Relaxed) + work.seats();
                most.fetch_max(now, Ordering::Relaxed);
                return Ok(self.permit(schema, None, work.seats()));
            }
        };
        let mut released = Vec::new();
        let mut receiver = None;
        let (arrival, tick) = {
            let owner = || {
                let (wake, woken) = oneshot::channel();
                receiver = Some(woken);
                Waiter {
                    wake,
                    details: Details { schema: schema.name.clone(), distinguisher: distinguisher.into() },
                }
            };
            let mut queues = queues.lock();
            let arrival = queues.arrive(self.shared.now(), flow, work, owner, &mut released);
            (arrival, queues.next_tick())
        };
        // Time has passed on the way: others may begin, whatever became of this one.
        self.wake(released);
        if tick.is_some() {
            self.tick();
        }
        let ticket = match arrival {
            Arrival::Begins(grant) => {
                schema.metrics.waited_served.observe(0.0);
                return Ok(self.permit(schema, Some(grant), work.seats()));
            }
            Arrival::Refused(refusal) => {
                self.shared.contend();
                let reason = match refusal {
                    Refusal::QueueFull => RejectReason::QueueFull,
                    Refusal::ConcurrencyLimit => RejectReason::ConcurrencyLimit,
                };
                return Err(self.reject(schema, reason));
            }
            Arrival::Queued(ticket) => ticket,
        };
        self.shared.contend();
        let receiver = receiver.expect("one that is queued has an owner");
        schema.metrics.waiting.inc();
        schema.metrics.waiting_seats.add(i64::from(work.seats()));
        let waiting = InQueue {
            level: self,
            schema,
            ticket,
            receiver: Some(receiver),
            since: self.shared.now(),
            seats: work.seats(),
        };
        waiting.wait(work, patience).await
    }

    fn reject(&self, schema: &Schema, reason: RejectReason) -> Rejection {
        schema.metrics.rejected(reason);
        // Seconds begin above zero.
        let now = self.shared.epoch.elapsed().as_secs() + 1;
        Rejection { reason, retry_after_seconds: self.retry_after.lock().refused(now) }
    }

    fn permit(self: &Arc<Self>, schema: &Arc<Schema>, grant: Option<Grant>, seats: u32) -> Permit {
        schema.metrics.dispatched.inc();
        schema.metrics.executing.inc();
        schema.metrics.seats.add(i64::from(seats));
        let started = grant.map_or_else(|| self.shared.now(), |grant| grant.started());
        Permit { level: self.clone(), schema: schema.clone(), grant, seats, started }
    }
}

/// A place in a queue, left when it is dropped.
struct InQueue<'a> {
    level: &'a Arc<Level>,
    schema: &'a Arc<Schema>,
    ticket: Ticket,
    receiver: Option<oneshot::Receiver<Grant>>,
    since: u64,
    seats: u32,
}

impl InQueue<'_> {
    async fn wait(mut self, work: Work, patience: Duration) -> Result<Permit, Rejection> {
        let receiver = self.receiver.as_mut().expect("taken only below");
        let mut granted = match tokio::time::timeout(patience, receiver).await {
            Ok(woken) => woken.ok(),
            Err(_) => None,
        };
        if granted.is_none() {
            granted = self.leave();
        }
        self.receiver = None;
        let waited = self.level.shared.now().saturating_sub(self.since) as f64 / 1e9;
        match granted {
            Some(grant) => {
                self.schema.metrics.waited_served.observe(waited);
                Ok(self.level.permit(self.schema, Some(grant), work.seats()))
            }
            None => {
                self.schema.metrics.waited_refused.observe(waited);
                Err(self.level.reject(self.schema, RejectReason::TimeOut))
            }
        }
    }

    /// Gives the place up; what was granted at the last moment comes back.
    fn leave(&mut self) -> Option<Grant> {
        let ticket = self.ticket;
        let left = self.level.change(|queues, now, released| queues.cancel(now, ticket, released));
        if left.flatten().is_some() {
            return None;
        }
        // It has begun: the grant is in the channel, or about to be put there by who released it. Closing first makes
        // that one see that nobody takes it.
        let receiver = self.receiver.as_mut()?;
        receiver.close();
        receiver.try_recv().ok()
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.schema.metrics.waiting.dec();
        self.schema.metrics.waiting_seats.sub(i64::from(self.seats));
        // Still there: the request was dropped while it waited.
        if self.receiver.is_some() {
            if let Some(grant) = self.leave() {
                self.level.finish(&grant);
            }
            self.schema.metrics.rejected(RejectReason::Cancelled);
        }
    }
}

/// Seats, held while a request is served (a watch: while it begins) and given back when this is dropped.
pub struct Permit {
    level: Arc<Level>,
    schema: Arc<Schema>,
    grant: Option<Grant>,
    seats: u32,
    started: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let metrics = &self.schema.metrics;
        metrics.executing.dec();
        metrics.seats.sub(i64::from(self.seats));
        let took = self.level.shared.now().saturating_sub(self.started);
        metrics.execution.observe(took as f64 / 1e9);
        match (&self.grant, &self.level.kind) {
            (Some(grant), _) => self.level.finish(grant),
            (None, Kind::Exempt { seats, .. }) => {
                seats.fetch_sub(self.seats, Ordering::Relaxed);
            }
            (None, Kind::Limited(_)) => {}
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit")
            .field("level", &self.level.name)
            .field("seats", &self.seats)
            .finish_non_exhaustive()
    }
}
