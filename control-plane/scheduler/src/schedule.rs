//! The loop: takes pod after pod, decides, and hands on.

use std::sync::Arc;

use oarlock_base::{Shutdown, TaskSpawner};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::{debug, error};

use crate::bind::Binding;
use crate::cache::Snapshot;
use crate::core::Shared;
use crate::cycle::{Chance, Decision, cycle};
use crate::framework::{CycleState, PluginSet, Status};
use crate::metrics::Outcome;
use crate::model::PodInfo;
use crate::queue::{Now, Popped};
use crate::report::{Reporter, Why};

const NO_NODES: &str = "no nodes available to schedule pods";

pub(crate) struct Scheduler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reporter: Reporter,
    pub(crate) spawner: TaskSpawner,
    /// Bounds the writes under way.
    pub(crate) writes: Arc<Semaphore>,
    pub(crate) snapshot: Snapshot,
    pub(crate) start: usize,
}

/// What the loop does next.
enum Next {
    Schedule(Popped),
    /// The pod's condition is to say that it is gated.
    TellGated(Arc<PodInfo>),
    /// Nothing is ready before then.
    Sleep(Option<Instant>),
}

impl Scheduler {
    pub(crate) async fn run(mut self, stop: Shutdown) {
        stop.clone().or(self.forever()).await;
    }

    async fn forever(&mut self) {
        loop {
            let write = self.writes.clone().acquire_owned().await.expect("the semaphore is never closed");
            match self.next() {
                Next::Schedule(popped) => self.schedule(popped, write),
                Next::TellGated(pod) => self.tell_gated(pod, write),
                Next::Sleep(until) => {
                    drop(write);
                    self.sleep(until).await;
                }
            }
        }
    }

    /// Pops the next pod, and brings the snapshot up to date in the same moment.
    fn next(&mut self) -> Next {
        let snapshot = &mut self.snapshot;
        self.shared.with(|core| {
            if let Some(popped) = core.queue.pop(Now::read()) {
                core.cache.update(snapshot);
                Next::Schedule(popped)
            } else if let Some(pod) = core.queue.next_untold() {
                Next::TellGated(pod)
            } else {
                Next::Sleep(core.queue.next_deadline())
            }
        })
    }

    async fn sleep(&self, until: Option<Instant>) {
        match until {
            None => self.shared.woken().await,
            Some(until) => tokio::select! {
                () = self.shared.woken() => {}
                () = tokio::time::sleep_until(until) => {}
            },
        }
    }

    fn tell_gated(&self, pod: Arc<PodInfo>, write: OwnedSemaphorePermit) {
        let reporter = self.reporter.clone();
        self.spawner.spawn("report-gated", async move {
            reporter.gated(&pod).await;
            drop(write);
        });
    }

    fn schedule(&mut self, popped: Popped, write: OwnedSemaphorePermit) {
        let began = Instant::now();
        let shared = self.shared.clone();
        let Some(plugins) = shared.profiles.get(&popped.pod.scheduler) else {
            // Pods of other schedulers do not enter the queue.
            return shared.with(|core| core.queue.remove(&popped.pod.uid));
        };
        let mut pick = |below| rand::random_range(0..below);
        let chance = Chance { start: &mut self.start, pick: &mut pick };
        let decision = cycle(&self.snapshot, &popped.pod, plugins, chance);
        shared.metrics.algorithm(began.elapsed());
        match decision {
            Decision::Host { node, state } => self.bind(popped, plugins, node, state, began, write),
            Decision::NoNodes => self.reject(&popped, &[], NO_NODES.into(), began, write),
            Decision::Unfit(why) => self.reject(&popped, why.rejectors(), why.to_string(), began, write),
            Decision::Failed(status) => self.failed(&popped, &status, began, write),
        }
    }

    fn bind(
        &mut self,
        popped: Popped,
        plugins: &Arc<PluginSet>,
        node: Arc<str>,
        mut state: CycleState,
        began: Instant,
        write: OwnedSemaphorePermit,
    ) {
        let wanted = self.shared.with(|core| {
            core.queue.decided(&popped.pod.uid);
            let wanted = core.queue.contains(&popped.pod.uid);
            if wanted {
                core.cache.assume(popped.pod.clone(), node.clone());
            }
            wanted
        });
        if !wanted {
            return debug!(pod = %popped.pod, "gone while it was decided on");
        }
        let reserved = plugins.reserve.iter().find_map(|plugin| {
            let status = plugin.reserve(&mut state, &popped.pod, &node);
            (!status.is_success()).then(|| status.by(plugin.name()))
        });
        let binding = Binding {
            shared: self.shared.clone(),
            reporter: self.reporter.clone(),
            plugins: plugins.clone(),
            popped,
            node,
            state,
            began,
        };
        self.spawner.spawn("bind", async move {
            binding.run(reserved).await;
            drop(write);
        });
    }

    fn reject(
        &self,
        popped: &Popped,
        rejectors: &[&'static str],
        message: String,
        began: Instant,
        write: OwnedSemaphorePermit,
    ) {
        let pod = &popped.pod;
        self.shared.metrics.attempt(&pod.scheduler, Outcome::Unschedulable, began.elapsed());
        debug!(pod = %pod, message, attempts = popped.attempts, "unschedulable");
        if self.shared.with(|core| core.queue.reject(&pod.uid, rejectors, Now::read())) {
            self.report(pod, Why::Unschedulable, message, write);
        }
    }

    fn failed(&self, popped: &Popped, status: &Status, began: Instant, write: OwnedSemaphorePermit) {
        let pod = &popped.pod;
        let message = format!("running {:?} plugin: {status}", status.plugin);
        self.shared.metrics.attempt(&pod.scheduler, Outcome::Error, began.elapsed());
        error!(pod = %pod, message, "scheduling failed");
        if self.shared.with(|core| core.queue.retry(&pod.uid, Now::read())) {
            self.report(pod, Why::Error, message, write);
        }
    }

    fn report(&self, pod: &Arc<PodInfo>, why: Why, message: String, write: OwnedSemaphorePermit) {
        let (reporter, pod) = (self.reporter.clone(), pod.clone());
        self.spawner.spawn("report", async move {
            reporter.failed(&pod, why, &message).await;
            drop(write);
        });
    }
}
