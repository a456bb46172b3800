//! The webhook backend: events in batches, throttled, tried again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use oarlock_apiserver_webhook::Client;
use oarlock_base::{Backoff, Shutdown, TaskSpawner};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::event::list;
use crate::metrics::Metrics;
use crate::sink::{BatchOptions, Item, Mode, SinkOptions};

/// How long one call may take. (Upstream's client has the same.)
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Upstream tries five times.
const TRIES: u32 = 5;
/// Batches under way at once: what comes meanwhile waits in the buffer.
const CALLS_MAX: usize = 16;
/// How long a call may go on when the server stops: a webhook that is away does not keep it.
const GRACE: Duration = Duration::from_secs(10);

/// Where batches go: a webhook, or a test.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    /// Sends an `EventList`, trying again where that may help. The error is for the log.
    async fn send(&self, body: Bytes, initial_backoff: Duration) -> Result<(), String>;
}

#[async_trait]
impl Sender for Client {
    async fn send(&self, body: Bytes, initial_backoff: Duration) -> Result<(), String> {
        let call = || async {
            match tokio::time::timeout(CALL_TIMEOUT, self.post(body.clone(), None)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the webhook did not answer in time".to_string()),
            }
        };
        tried(initial_backoff, call).await
    }
}

/// Calls until it goes well, whatever went wrong (upstream as well): an event that is not told is lost, and a webhook that is
/// away or ill may be well again in a moment.
async fn tried<F>(initial_backoff: Duration, call: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let backoff =
        Backoff { initial: initial_backoff, max: Duration::from_secs(300), factor: 1.5, jitter: 0.2 };
    let mut delays = backoff.start();
    for left in (1..TRIES).rev() {
        match call().await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::debug!(error, left, "the audit webhook is tried again"),
        }
        tokio::time::sleep(delays.next_delay()).await;
    }
    call().await
}

/// The backend's task.
pub(crate) struct Backend {
    pub(crate) sender: Arc<dyn Sender>,
    pub(crate) initial_backoff: Duration,
    pub(crate) options: SinkOptions,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskSpawner,
}

impl Backend {
    /// Sends until the shutdown, then what is queued still, and waits for the calls under way.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut items: mpsc::Receiver<Item>,
        stop: Shutdown,
    ) -> Result<(), Infallible> {
        let calls = Arc::new(Semaphore::new(CALLS_MAX));
        let mut bucket = self.options.batch.throttle.map(Bucket::new);
        let mut batch = Vec::new();
        loop {
            if stop.or(self.collect(&mut items, &mut batch)).await.is_none() {
                items.close();
                self.collect(&mut items, &mut batch).await;
            }
            if batch.is_empty() {
                break;
            }
            if let Some(bucket) = &mut bucket {
                bucket.take().await;
            }
            for part in self.parts(std::mem::take(&mut batch)) {
                let permit = calls.clone().acquire_owned().await.expect("it is never closed");
                let backend = self.clone();
                self.tasks.spawn("audit-webhook", async move {
                    backend.deliver(part).await;
                    drop(permit);
                });
            }
        }
        let all = u32::try_from(CALLS_MAX).expect("a small number");
        // It is never closed; all permits are back when all calls have ended.
        drop(calls.acquire_many(all).await);
        Ok(())
    }

    /// Fills the next batch: full, or as old as it may get, or all that is left. Empty when nothing will come any more.
    /// May be cancelled: what has come is in the batch.
    async fn collect(&self, items: &mut mpsc::Receiver<Item>, batch: &mut Vec<Item>) {
        let BatchOptions { max_batch_size, max_batch_wait, .. } = self.options.batch;
        let size = max_batch_size.max(1);
        if batch.is_empty() && items.recv_many(batch, size).await == 0 {
            return;
        }
        if self.options.mode != Mode::Batch {
            return;
        }
        // The clock runs only while something waits.
        let end = Instant::now() + max_batch_wait;
        while batch.len() < size && !items.is_closed() {
            let room = size - batch.len();
            match tokio::time::timeout_at(end, items.recv_many(batch, room)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// A batch in parts that are no larger than a body may be.
    fn parts(&self, batch: Vec<Item>) -> Vec<Vec<Item>> {
        let limit = self.options.truncation.map_or(usize::MAX, |limits| limits.max_batch_size);
        let (mut parts, mut part, mut size) = (Vec::new(), Vec::new(), 0_usize);
        for item in batch {
            if !part.is_empty() && size + item.event.len() > limit {
                parts.push(std::mem::take(&mut part));
                size = 0;
            }
            size += item.event.len();
            part.push(item);
        }
        parts.push(part);
        parts
    }

    async fn deliver(&self, items: Vec<Item>) {
        let events: Vec<Bytes> = items.iter().map(|item| item.event.clone()).collect();
        let too_late = async {
            self.tasks.shutdown().wait().await;
            tokio::time::sleep(GRACE).await;
        };
        let sent = tokio::select! {
            sent = self.sender.send(list(&events), self.initial_backoff) => sent,
            () = too_late => Err("the server stopped before the webhook answered".into()),
        };
        if let Err(error) = &sent {
            self.metrics.failed("webhook", items.len(), error);
        }
        items.into_iter().for_each(|item| item.tell(sent.is_ok()));
    }
}

/// So many batches a second, and some at once after a pause.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new((rate, burst): (f32, u32)) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: f64::from(rate.max(0.001)), burst, tokens: burst, at: Instant::now() }
    }

    async fn take(&mut self) {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate).min(self.burst) - 1.0;
        self.at = now;
        if self.tokens < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.tokens / self.rate)).await;
        }
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
