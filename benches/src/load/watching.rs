//! Watchers of all objects, who count what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use oarlock_base::{Shutdown, TaskSpawner};
use tokio::sync::Notify;

use super::plan::{Wanted, configmaps};
use super::wire::Wire;

/// Watchers that have not got everything by then are reported with what they have.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watchers, and how many events they have got.
pub(super) struct Watching {
    seen: Arc<AtomicU64>,
    all: Arc<Notify>,
    wanted: u64,
    stop: Shutdown,
}

impl Watching {
    pub(super) async fn begin(
        wire: &Wire,
        tasks: &TaskSpawner,
        namespace: &str,
        watchers: u16,
        changes: u32,
    ) -> Result<Self> {
        let wanted = u64::from(watchers) * u64::from(changes);
        let watching =
            Self { seen: Arc::default(), all: Arc::default(), wanted, stop: tasks.shutdown().child() };
        let revision = revision(wire, namespace).await?;
        let path = format!("{}?watch=1&resourceVersion={revision}", configmaps(namespace));
        for watcher in 0..watchers {
            let opened = wire.open(watcher.into(), Wanted::get(path.clone())).await?;
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
    pub(super) async fn end(self) -> u64 {
        let all = async {
            while self.seen.load(Ordering::Acquire) < self.wanted {
                self.all.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
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

/// The revision of now, from a list of none.
async fn revision(wire: &Wire, namespace: &str) -> Result<String> {
    let path = format!("{}?fieldSelector=metadata.name%3Dnone", configmaps(namespace));
    let answer = wire.open(0, Wanted::get(path)).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let list: serde_json::Value = serde_json::from_slice(&body)?;
    let revision = list["metadata"]["resourceVersion"].as_str();
    Ok(revision.context("a list without a resourceVersion")?.to_string())
}
