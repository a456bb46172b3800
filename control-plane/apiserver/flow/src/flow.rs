//! Priority and fairness put together: classify, admit, and lend seats between levels while somebody has to wait.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use oarlock_apiserver_access::Objects;
use oarlock_base::{Shutdown, TaskSpawner};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::compile::{self, FLOW_SCHEMAS, LevelSpec, PRIORITY_LEVELS, Schema, Specs};
use crate::demand::smooth;
use crate::estimate::Work;
use crate::level::{Level, Permit, Rejection, Shared};
use crate::limits::{Bounds, Wish, allocate};
use crate::matching::Digest;
use crate::metrics::{LevelMetrics, Metrics};

/// How often seats are lent anew while somebody has to wait.
const ADJUSTMENT_PERIOD: Duration = Duration::from_secs(10);

/// What the server has to share out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// All seats: `--max-requests-inflight` and `--max-mutating-requests-inflight` together.
    pub seats: u32,
    /// How long a request waits in a queue at most: upstream's is a quarter of the request timeout, 15 seconds.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { seats: 600, patience: Duration::from_secs(15) }
    }
}

/// Which request is served now, which waits, and which is turned away.
pub struct Flow {
    objects: Arc<dyn Objects>,
    options: Options,
    shared: Arc<Shared>,
    metrics: Metrics,
    current: ArcSwap<Current>,
    compiling: Mutex<()>,
}

/// The objects as of their generations.
#[derive(Default)]
pub(crate) struct Current {
    generations: Option<[u64; 2]>,
    schemas: Vec<Arc<Schema>>,
    pub(crate) levels: HashMap<String, Arc<Member>>,
}

/// A level and its part of the server.
pub(crate) struct Member {
    pub(crate) level: Arc<Level>,
    pub(crate) spec: LevelSpec,
    bounds: Bounds,
    /// The demand that seats are lent by.
    smoothed: Mutex<f64>,
    metrics: LevelMetrics,
}

/// A request's flow: what the answer's headers name, and where it asks for seats.
pub struct Classified {
    schema: Arc<Schema>,
    hash: u64,
    patience: Duration,
}

impl Flow {
    pub fn new(objects: Arc<dyn Objects>, options: Options, tasks: TaskSpawner) -> Arc<Self> {
        let shared = Shared {
            epoch: Instant::now(),
            contended: AtomicBool::new(false),
            contention: Notify::new(),
            tasks,
        };
        Arc::new(Self {
            objects,
            options,
            shared: Arc::new(shared),
            metrics: Metrics::new(),
            current: ArcSwap::default(),
            compiling: Mutex::new(()),
        })
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The flow of a request. Allocates nothing.
    pub fn classify(&self, digest: &Digest<'_>) -> Classified {
        let current = self.current();
        let schema = current.schemas.iter().find(|schema| schema.rules.is(digest));
        // Catch-all is for every user of a group, and every user is in one; who is in none shares its fate.
        let schema =
            schema.or_else(|| current.schemas.last()).expect("mandatory schemas are always there").clone();
        let mut hasher = DefaultHasher::new();
        hasher.write(schema.name.as_bytes());
        hasher.write_u8(0);
        hasher.write(schema.flow(digest).as_bytes());
        Classified { hash: hasher.finish(), patience: self.options.patience, schema }
    }

    /// The objects as of now: compiled anew where one has changed since.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Current>> {
        let current = self.current.load();
        let generations = self.generations();
        if current.generations == Some(generations) {
            return current;
        }
        let _one_at_a_time = self.compiling.lock();
        // Read before the lists: a change in between makes the next request compile again.
        let generations = self.generations();
        let current = self.current.load();
        if current.generations != Some(generations) {
            let schemas = self.objects.list(&FLOW_SCHEMAS, "");
            let levels = self.objects.list(&PRIORITY_LEVELS, "");
            let specs = compile::read(&schemas, &levels, self.options.seats);
            self.current.store(Arc::new(self.compile(specs, &current, generations)));
        }
        self.current.load()
    }

    fn generations(&self) -> [u64; 2] {
        [&FLOW_SCHEMAS, &PRIORITY_LEVELS].map(|resource| self.objects.generation(resource))
    }

    fn compile(&self, specs: Specs, before: &Current, generations: [u64; 2]) -> Current {
        let mut levels = HashMap::new();
        for (name, (spec, bounds)) in specs.levels {
            let member = self.member(&name, spec, bounds, before.levels.get(&name));
            levels.insert(name, Arc::new(member));
        }
        for gone in before.levels.keys().filter(|name| !levels.contains_key(*name)) {
            self.metrics.forget_level(gone);
        }
        let schemas = specs.schemas.into_iter().map(|spec| {
            let member = &levels[&spec.level];
            Arc::new(Schema {
                metrics: self.metrics.flow(&spec.level, &spec.name),
                name: spec.name,
                uid: spec.uid,
                level_uid: member.spec.uid.clone(),
                level: member.level.clone(),
                distinguisher: spec.distinguisher,
                rules: spec.rules,
                seats_max: compile::seats_max(&member.spec, &member.bounds),
            })
        });
        Current { generations: Some(generations), schemas: schemas.collect(), levels }
    }

    /// A level goes on with its requests when its object changes; only another type makes it another level.
    fn member(&self, name: &str, spec: LevelSpec, bounds: Bounds, before: Option<&Arc<Member>>) -> Member {
        let metrics = self.metrics.level(name);
        metrics.nominal.set(f64::from(bounds.nominal));
        metrics.lower.set(f64::from(bounds.lower));
        metrics.upper.set(f64::from(bounds.upper));
        metrics.current.set(f64::from(bounds.nominal));
        let same = before.filter(|before| before.spec.exempt == spec.exempt);
        let level = match same {
            Some(before) => {
                if !spec.exempt && (before.spec.shape != spec.shape || before.bounds != bounds) {
                    before.level.configure(spec.shape, bounds.nominal);
                } else {
                    metrics.current.set(f64::from(before.level.limit()));
                }
                before.level.clone()
            }
            None if spec.exempt => Level::exempt(name.into(), self.shared.clone()),
            None => Level::limited(name.into(), spec.shape, bounds.nominal, self.shared.clone()),
        };
        let smoothed = Mutex::new(same.map_or(0.0, |before| *before.smoothed.lock()));
        Member { level, spec, bounds, smoothed, metrics }
    }

    /// Lends seats between levels: at once when somebody has to wait, then every period while somebody does, and not at all
    /// while nobody does.
    pub async fn run(self: Arc<Self>, stop: Shutdown) {
        while stop.or(self.shared.contention.notified()).await.is_some() {
            for member in self.current().levels.values() {
                // The time before the contention tells nothing of it.
                member.level.sample();
            }
            while self.shared.contended.swap(false, Ordering::Relaxed) {
                self.adjust();
                if stop.or(tokio::time::sleep(ADJUSTMENT_PERIOD)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Gives every level the seats for the next period.
    fn adjust(&self) {
        let current = self.current();
        let total: u32 = current.levels.values().map(|member| member.bounds.nominal).sum();
        let mut left = f64::from(total);
        let mut wishes = Vec::new();
        for member in current.levels.values() {
            let wish = member.wish();
            if member.spec.exempt {
                // It takes what it needs, whatever the others want.
                left -= wish.lower;
                member.metrics.current.set(wish.lower);
            } else {
                wishes.push((member, wish));
            }
        }
        let only: Vec<Wish> = wishes.iter().map(|(_, wish)| *wish).collect();
        let (given, fraction) = allocate(left.max(0.0), &only);
        self.metrics.fraction(fraction);
        for ((member, _), seats) in wishes.into_iter().zip(given) {
            let seats = seats.round().clamp(0.0, f64::from(u32::MAX)) as u32;
            member.metrics.current.set(f64::from(seats));
            if member.level.limit() != seats {
                tracing::debug!(level = %member.level.name, seats, "seats of a priority level");
                member.level.set_limit(seats);
            }
        }
    }
}

impl Member {
    fn wish(&self) -> Wish {
        let sample = self.level.sample();
        let smoothed = {
            let mut smoothed = self.smoothed.lock();
            *smoothed = smooth(*smoothed, &sample);
            *smoothed
        };
        let (nominal, lower) = (f64::from(self.bounds.nominal), f64::from(self.bounds.lower));
        let lower =
            if self.spec.exempt { lower.max(sample.most) } else { lower.max(sample.most.min(nominal)) };
        let wish = Wish { lower, upper: f64::from(self.bounds.upper), target: lower.max(smoothed) };
        self.metrics.demand_most.set(sample.most);
        self.metrics.demand_average.set(sample.average);
        self.metrics.demand_deviation.set(sample.deviation);
        self.metrics.demand_smoothed.set(smoothed);
        self.metrics.target.set(wish.target);
        wish
    }
}

impl Classified {
    /// For the header `X-Kubernetes-PF-FlowSchema-UID`; empty before the object is stored.
    pub fn flow_schema_uid(&self) -> &str {
        &self.schema.uid
    }

    /// For the header `X-Kubernetes-PF-PriorityLevel-UID`.
    pub fn priority_level_uid(&self) -> &str {
        &self.schema.level_uid
    }

    pub fn flow_schema(&self) -> &str {
        &self.schema.name
    }

    pub fn priority_level(&self) -> &str {
        &self.schema.level.name
    }

    /// The widest that a request of this flow may be estimated.
    pub fn seats_max(&self) -> u32 {
        self.schema.seats_max
    }

    /// A permit, at once where there are seats, or after waiting. `digest` is what was classified.
    pub async fn admit(&self, digest: &Digest<'_>, work: Work) -> Result<Permit, Rejection> {
        let flow = self.schema.flow(digest);
        self.schema.level.admit(&self.schema, self.hash, flow, work, self.patience).await
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
