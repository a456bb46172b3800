//! From a record to a backend: an event is printed once, cut to size, and queued.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::event::Event;
use crate::metrics::Metrics;
use crate::policy::Level;

/// What waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody waits; what does not fit into the buffer is lost and counted.
    Batch,
    /// The request waits until its event has been written, or could not be.
    Blocking,
    /// And fails if it could not be, where it has not begun.
    BlockingStrict,
}

/// `--audit-log-format`: an event of JSON a line, or the words of the first audit logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Legacy,
}

/// `--audit-…-batch-*`: events that may wait, events in a batch, and how long one waits to be full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchOptions {
    pub buffer_size: usize,
    pub max_batch_size: usize,
    pub max_batch_wait: Duration,
    /// Batches a second, and how many at once after a pause.
    pub throttle: Option<(f32, u32)>,
}

impl BatchOptions {
    /// Upstream's of `--audit-log-batch-*`.
    pub const LOG: Self =
        Self { buffer_size: 10_000, max_batch_size: 1, max_batch_wait: Duration::ZERO, throttle: None };
    /// Upstream's of `--audit-webhook-batch-*`.
    pub const WEBHOOK: Self = Self {
        buffer_size: 10_000,
        max_batch_size: 400,
        max_batch_wait: Duration::from_secs(30),
        throttle: Some((10.0, 15)),
    };
}

/// The largest events and batches, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    pub max_event_size: usize,
    pub max_batch_size: usize,
}

impl Default for Truncation {
    fn default() -> Self {
        Self { max_event_size: 100 << 10, max_batch_size: 10 << 20 }
    }
}

/// How a sink takes events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SinkOptions {
    pub mode: Mode,
    pub batch: BatchOptions,
    /// `None`: as large as they are. (`--audit-…-truncate-enabled`)
    pub truncation: Option<Truncation>,
}

/// One event on its way, printed.
pub(crate) struct Item {
    pub(crate) event: Bytes,
    /// Who waits to hear whether it was written.
    pub(crate) written: Option<oneshot::Sender<bool>>,
}

impl Item {
    pub(crate) fn tell(self, well: bool) {
        if let Some(written) = self.written {
            // The request may have gone away meanwhile.
            let _ = written.send(well);
        }
    }
}

pub(crate) struct Sink {
    pub(crate) plugin: &'static str,
    format: Format,
    mode: Mode,
    truncation: Option<Truncation>,
    queue: mpsc::Sender<Item>,
    metrics: Metrics,
}

impl Sink {
    /// And where its backend takes events from.
    pub(crate) fn new(
        plugin: &'static str,
        format: Format,
        options: &SinkOptions,
        metrics: Metrics,
    ) -> (Arc<Self>, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(options.batch.buffer_size.max(1));
        let (mode, truncation) = (options.mode, options.truncation);
        (Arc::new(Self { plugin, format, mode, truncation, queue, metrics }), items)
    }

    /// Whether the request may go on. With `json` the event is printed at most once for all sinks.
    pub(crate) async fn send(&self, event: &Event, json: &mut Option<Bytes>) -> bool {
        let Some(printed) = self.print(event, json) else { return self.mode != Mode::BlockingStrict };
        if self.mode == Mode::Batch {
            self.put(Item { event: printed, written: None });
            return true;
        }
        let (written, heard) = oneshot::channel();
        let item = Item { event: printed, written: Some(written) };
        let well = match self.queue.send(item).await {
            Ok(()) => heard.await.unwrap_or(false),
            Err(_) => {
                self.metrics.failed(self.plugin, 1, &"the backend has ended");
                false
            }
        };
        well || self.mode == Mode::Blocking
    }

    /// Sends without waiting, whatever the mode: for what ends by being dropped.
    pub(crate) fn send_now(&self, event: &Event, json: &mut Option<Bytes>) {
        if let Some(event) = self.print(event, json) {
            self.put(Item { event, written: None });
        }
    }

    fn put(&self, item: Item) {
        if self.queue.try_send(item).is_err() {
            self.metrics.failed("buffered", 1, &"audit buffer queue blocked");
        }
    }

    /// The event as this sink wants it; `None` where it is too large in any form.
    fn print(&self, event: &Event, json: &mut Option<Bytes>) -> Option<Bytes> {
        if self.format == Format::Legacy {
            return Some(event.legacy().into());
        }
        let whole = json.get_or_insert_with(|| event.json().into()).clone();
        let Some(limits) = self.truncation else { return Some(whole) };
        if whole.len() <= limits.max_event_size {
            return Some(whole);
        }
        let small: Option<Bytes> = (event.level >= Level::Request).then(|| event.truncated().json().into());
        let fits = small.filter(|small| small.len() <= limits.max_event_size);
        if fits.is_none() {
            self.metrics.failed("truncate", 1, &"event is too large even after truncating");
        }
        fits
    }
}
