//! Runs the rounds: workers take numbers from one counter until it is at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use oarlock_base::{Shutdown, TaskSpawner, Tasks};
use serde_json::json;
use tokio::sync::Notify;

use super::Shape;
use super::plan::{ROUNDS, Verb, Wanted};
use super::report::Round;
use super::wire::Wire;
use crate::processes;
use crate::stats::Samples;
use crate::tls::Target;

/// Ends a load on a server that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Watchers that have not got everything by then are reported with what they have.
const WATCH_PATIENCE: Duration = Duration::from_secs(30);

/// All rounds in a namespace of their own, which is deleted afterwards.
pub(super) async fn run(target: &Target, pids: &[i32], shape: &Shape, stop: &Shutdown) -> Result<Vec<Round>> {
    let tasks = Tasks::new("load", stop);
    let spawner = tasks.spawner();
    let wire = Arc::new(Wire::connect(target, shape.connections, &spawner).await?);
    let namespace = format!("oarlock-load-{}", std::process::id());
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    wire.exchange(0, whole(Method::POST, "/api/v1/namespaces".to_string(), body.to_string().into())).await?;
    let rounds = rounds(&wire, &spawner, &namespace, pids, shape).await;
    let path = format!("/api/v1/namespaces/{namespace}");
    let deleted = wire.exchange(0, whole(Method::DELETE, path, Bytes::new())).await;
    drop(wire);
    tasks.shutdown().trigger();
    tasks.join().await?;
    deleted.context("delete the namespace of the load")?;
    rounds
}

fn whole(method: Method, path: String, body: Bytes) -> Wanted {
    Wanted { method, path, kind: "application/json", body }
}

async fn rounds(
    wire: &Arc<Wire>,
    tasks: &TaskSpawner,
    namespace: &str,
    pids: &[i32],
    shape: &Shape,
) -> Result<Vec<Round>> {
    let mut out = Vec::new();
    for verb in ROUNDS.into_iter().filter(|verb| verb.count(shape) > 0) {
        let count = verb.count(shape);
        let watching = match verb {
            Verb::Fanout => Some(Watching::begin(wire, tasks, namespace, shape.watchers, count).await?),
            _ => None,
        };
        let cpu = processes::cpu_of(pids)?;
        let began = Instant::now();
        let latency_ms = round(wire, tasks, namespace, shape, verb).await?;
        let events = match watching {
            Some(watching) => watching.end().await,
            None => 0,
        };
        let seconds = began.elapsed().as_secs_f64();
        let cpu_seconds = (!pids.is_empty()).then_some(processes::cpu_of(pids)? - cpu);
        out.push(Round { name: verb.name(), latency_ms, requests: count, seconds, events, cpu_seconds });
    }
    Ok(out)
}

async fn round(
    wire: &Arc<Wire>,
    tasks: &TaskSpawner,
    namespace: &str,
    shape: &Shape,
    verb: Verb,
) -> Result<Samples> {
    let next = Arc::new(AtomicU32::new(0));
    let namespace: Arc<str> = namespace.into();
    let count = verb.count(shape);
    let workers = (0..shape.in_flight).map(|worker| {
        let (wire, next, namespace) = (wire.clone(), next.clone(), namespace.clone());
        let (told, result) = tokio::sync::oneshot::channel();
        tasks.spawn("worker", async move {
            // Nobody listens any more if another worker has failed.
            let _ = told.send(work(&wire, worker, &next, count, verb, &namespace).await);
        });
        async move { result.await.context("a worker panicked")? }
    });
    // All are started before the first is waited for.
    let workers: Vec<_> = workers.collect();
    Ok(Samples::of(try_join_all(workers).await?.into_iter().flatten()))
}

async fn work(
    wire: &Wire,
    worker: u16,
    next: &AtomicU32,
    count: u32,
    verb: Verb,
    namespace: &str,
) -> Result<Vec<f64>> {
    let mut latencies_ms = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= count {
            return Ok(latencies_ms);
        }
        let began = Instant::now();
        let exchange = wire.exchange(worker.into(), verb.wanted(namespace, at));
        tokio::time::timeout(PATIENCE, exchange).await.context("the server does not answer")??;
        latencies_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
}

/// Watchers, and how many events they have got.
struct Watching {
    seen: Arc<AtomicU64>,
    all: Arc<Notify>,
    wanted: u64,
    stop: Shutdown,
}

impl Watching {
    async fn begin(
        wire: &Arc<Wire>,
        tasks: &TaskSpawner,
        namespace: &str,
        watchers: u16,
        changes: u32,
    ) -> Result<Self> {
        let wanted = u64::from(watchers) * u64::from(changes);
        let watching =
            Self { seen: Arc::default(), all: Arc::default(), wanted, stop: tasks.shutdown().child() };
        let revision = revision(wire, namespace).await?;
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={revision}");
        for watcher in 0..watchers {
            let opened = wire.open(watcher.into(), whole(Method::GET, path.clone(), Bytes::new())).await?;
            anyhow::ensure!(opened.status().is_success(), "watch: {}", opened.status());
            let (seen, all, stop) = (watching.seen.clone(), watching.all.clone(), watching.stop.clone());
            tasks.spawn("watcher", async move {
                // Stopped, or the server has ended the watch, which shows in the count.
                let _ = stop.or(count_events(opened.into_body(), &seen, &all, wanted)).await;
            });
        }
        Ok(watching)
    }

    /// Waits for the last event; how many there were.
    async fn end(self) -> u64 {
        let all = async {
            while self.seen.load(Ordering::Acquire) < self.wanted {
                self.all.notified().await;
            }
        };
        if tokio::time::timeout(WATCH_PATIENCE, all).await.is_err() {
            eprintln!("watchers got {} of {} events", self.seen.load(Ordering::Acquire), self.wanted);
        }
        self.stop.trigger();
        self.seen.load(Ordering::Acquire)
    }
}

/// A line is an event.
async fn count_events(mut body: Incoming, seen: &AtomicU64, all: &Notify, wanted: u64) {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let lines = data.iter().filter(|b| **b == b'\n').count() as u64;
        if seen.fetch_add(lines, Ordering::AcqRel) + lines >= wanted {
            all.notify_one();
        }
    }
}

/// The revision of now, from a list of one.
async fn revision(wire: &Wire, namespace: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3Dnone");
    let answer = wire.open(0, whole(Method::GET, path, Bytes::new())).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let list: serde_json::Value = serde_json::from_slice(&body)?;
    let revision = list["metadata"]["resourceVersion"].as_str();
    Ok(revision.context("a list without a resourceVersion")?.to_string())
}
