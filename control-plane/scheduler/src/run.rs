//! Wires a scheduler together.

use futures::future::BoxFuture;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use oarlock_base::{Shutdown, Tasks};
use oarlock_client::{EventRecorder, Informers, LeaderError, lead};
use tokio::sync::Semaphore;
use tracing::info;

use crate::cache::Snapshot;
use crate::config::{Config, SchedulerError};
use crate::core::Shared;
use crate::metrics::SchedulerMetrics;
use crate::queue::Profiles;
use crate::report::Reporter;
use crate::schedule::Scheduler;
use crate::watch;

/// Schedules until it is told to stop, or loses the lease.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), SchedulerError>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(mut config: Config, shutdown: Shutdown) -> Result<(), SchedulerError> {
    let profiles = profiles_of(&mut config)?;
    let Some(election) = config.leader_election.take() else {
        return schedule(config, profiles, shutdown).await;
    };
    let client = config.client.clone();
    match lead(client, election, shutdown, |stop| schedule(config, profiles, stop)).await {
        Ok(ended) => ended,
        Err(LeaderError::Stopped) => Ok(()),
        Err(lost) => Err(SchedulerError::Leader(lost)),
    }
}

fn profiles_of(config: &mut Config) -> Result<Profiles, SchedulerError> {
    if config.profiles.is_empty() || config.writes_max == 0 {
        return Err(SchedulerError::Config);
    }
    let sort = config.profiles[0].plugins.queue_sort.clone();
    let mut profiles = Profiles::new();
    for mut profile in config.profiles.drain(..) {
        profile.plugins.queue_sort = sort.clone();
        if profiles.insert(profile.scheduler_name.as_str().into(), Arc::new(profile.plugins)).is_some() {
            return Err(SchedulerError::DuplicateProfile { name: profile.scheduler_name });
        }
    }
    Ok(profiles)
}

async fn schedule(config: Config, profiles: Profiles, shutdown: Shutdown) -> Result<(), SchedulerError> {
    let mut tasks = Tasks::new("scheduler", &shutdown);
    let spawner = tasks.spawner();
    let recorder = |name: &Arc<str>| {
        let recorder = EventRecorder::new(config.client.clone(), name, "", &spawner);
        (name.clone(), recorder)
    };
    let recorders: HashMap<_, _> = profiles.keys().map(recorder).collect();
    let reporter = Reporter { client: config.client.clone(), recorders: Arc::new(recorders) };
    let shared = Arc::new(Shared::new(Arc::new(profiles), SchedulerMetrics::new(&config.metrics)));
    let informers = Informers::new(config.client, spawner.clone());
    watch::subscribe(&informers, &shared);
    informers.start();
    let scheduler = Scheduler {
        shared,
        reporter,
        spawner,
        writes: Arc::new(Semaphore::new(config.writes_max)),
        snapshot: Snapshot::default(),
        start: 0,
    };
    let ready = config.ready;
    tasks.spawn("schedule", |stop| async move {
        if stop.or(informers.synced()).await.is_some() {
            info!("scheduling");
            if let Some(ready) = ready {
                // Nobody may be waiting for it any more.
                let _ = ready.send(());
            }
            scheduler.run(stop).await;
        }
        Ok::<_, Infallible>(())
    });
    Ok(tasks.join().await?)
}
