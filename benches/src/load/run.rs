//! Runs the rounds: workers take numbers from one counter until it is at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use hyper::Method;
use oarlock_base::{Shutdown, TaskSpawner, Tasks};
use serde_json::json;

use super::plan::{ROUNDS, Verb, Wanted};
use super::report::Round;
use super::watching::Watching;
use super::wire::Wire;
use super::{Shape, growth, memory};
use crate::processes;
use crate::stats::Samples;
use crate::tls::Target;

/// Ends a load on a server that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server under load.
pub(super) struct Bench {
    pub(super) wire: Arc<Wire>,
    pub(super) tasks: TaskSpawner,
    pub(super) namespace: Arc<str>,
    pub(super) pids: Vec<i32>,
    pub(super) shape: Shape,
}

/// All rounds in a namespace of their own, which is deleted afterwards.
pub(super) async fn run(target: &Target, pids: &[i32], shape: &Shape, stop: &Shutdown) -> Result<Vec<Round>> {
    let tasks = Tasks::new("load", stop);
    let connections = shape.connections.max(shape.growth_connections());
    let bench = Bench {
        wire: Arc::new(Wire::connect(target, connections, &tasks.spawner()).await?),
        tasks: tasks.spawner(),
        namespace: format!("oarlock-load-{}", std::process::id()).into(),
        pids: pids.to_vec(),
        shape: shape.clone(),
    };
    let rounds = inside(&bench).await;
    let path = format!("/api/v1/namespaces/{}", bench.namespace);
    let deletion = Wanted { method: Method::DELETE, path, kind: "application/json", body: Bytes::new() };
    let deleted = bench.wire.exchange(0, deletion).await;
    drop(bench);
    tasks.shutdown().trigger();
    tasks.join().await?;
    let rounds = rounds?;
    deleted.context("delete the namespace of the load")?;
    Ok(rounds)
}

async fn inside(bench: &Bench) -> Result<Vec<Round>> {
    let object =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bench.namespace.as_ref()}});
    bench.wire.exchange(0, Wanted::post("/api/v1/namespaces".into(), &object)).await?;
    if bench.shape.memory {
        return memory::run(bench).await;
    }
    if bench.shape.growth {
        return growth::run(bench).await;
    }
    let mut out = Vec::new();
    for verb in ROUNDS.into_iter().filter(|verb| verb.count(&bench.shape) > 0) {
        out.push(bench.verb(verb).await?);
    }
    Ok(out)
}

impl Bench {
    async fn verb(&self, verb: Verb) -> Result<Round> {
        let count = verb.count(&self.shape);
        let wanted = move |namespace: &str, at| verb.wanted(namespace, at);
        if verb == Verb::Watch {
            return self.watched(verb.name(), self.shape.watchers, count, wanted).await;
        }
        self.round(verb.name(), 0..count, wanted).await
    }

    /// A round while this many watch.
    pub(super) async fn watched(
        &self,
        name: &str,
        watchers: u16,
        count: u32,
        wanted: impl Fn(&str, u32) -> Wanted + Clone + Send + Sync + 'static,
    ) -> Result<Round> {
        let watching = Watching::begin(&self.wire, &self.tasks, &self.namespace, watchers, count).await?;
        let cpu = processes::cpu_of(&self.pids)?;
        let began = Instant::now();
        let mut round = self.round(name, 0..count, wanted).await?;
        round.events = watching.end().await;
        // Until the last event has come.
        round.seconds = began.elapsed().as_secs_f64();
        round.cpu_seconds = self.cpu_since(cpu)?;
        Ok(round)
    }

    /// Requests of these numbers, as many in flight as the shape says.
    pub(super) async fn round(
        &self,
        name: &str,
        numbers: std::ops::Range<u32>,
        wanted: impl Fn(&str, u32) -> Wanted + Clone + Send + Sync + 'static,
    ) -> Result<Round> {
        let cpu = processes::cpu_of(&self.pids)?;
        let began = Instant::now();
        let next = Arc::new(AtomicU32::new(numbers.start));
        let bytes = Arc::new(AtomicU64::new(0));
        let workers = (0..self.shape.in_flight).map(|worker| {
            let (told, result) = tokio::sync::oneshot::channel();
            let (wire, namespace) = (self.wire.clone(), self.namespace.clone());
            let (next, bytes, wanted, end) = (next.clone(), bytes.clone(), wanted.clone(), numbers.end);
            self.tasks.spawn("worker", async move {
                let numbers =
                    std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < end));
                let requests = numbers.map(|at| wanted(&namespace, at));
                // Nobody listens any more if another worker has failed.
                let _ = told.send(work(&wire, worker, requests, &bytes).await);
            });
            async move { result.await.context("a worker panicked")? }
        });
        // All are started before the first is waited for.
        let workers: Vec<_> = workers.collect();
        let latencies_ms = try_join_all(workers).await?.into_iter().flatten();
        Ok(Round {
            name: name.to_string(),
            latency_ms: Samples::of(latencies_ms),
            requests: numbers.end - numbers.start,
            seconds: began.elapsed().as_secs_f64(),
            bytes: bytes.load(Ordering::Relaxed),
            events: 0,
            cpu_seconds: self.cpu_since(cpu)?,
            memory: None,
        })
    }

    fn cpu_since(&self, before: f64) -> Result<Option<f64>> {
        Ok((!self.pids.is_empty()).then_some(processes::cpu_of(&self.pids)? - before))
    }
}

async fn work(
    wire: &Wire,
    worker: u16,
    requests: impl Iterator<Item = Wanted>,
    bytes: &AtomicU64,
) -> Result<Vec<f64>> {
    let mut latencies_ms = Vec::new();
    for wanted in requests {
        let began = Instant::now();
        let exchange = tokio::time::timeout(PATIENCE, wire.exchange(worker.into(), wanted));
        let length = exchange.await.context("the server does not answer")??;
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        latencies_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies_ms)
}
