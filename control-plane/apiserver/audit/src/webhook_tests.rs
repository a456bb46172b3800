//! Batches under paused time, into a sender that remembers.

use oarlock_base::Tasks;
use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::sink::Truncation;

/// Remembers how many events came when, and fails when told to.
#[derive(Default)]
struct Fake {
    batches: Mutex<Vec<(Duration, usize)>>,
    started: Mutex<Option<Instant>>,
    fails: bool,
    came: tokio::sync::Notify,
}

#[async_trait]
impl Sender for Fake {
    async fn send(&self, body: Bytes, _: Duration) -> Result<(), String> {
        let list: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(list["kind"], "EventList");
        let since = self.started.lock().expect("set at the start").elapsed();
        self.batches.lock().push((since, list["items"].as_array().expect("items").len()));
        self.came.notify_one();
        if self.fails { Err("no".into()) } else { Ok(()) }
    }
}

struct World {
    fake: Arc<Fake>,
    queue: mpsc::Sender<Item>,
    root: Shutdown,
    tasks: Tasks,
    metrics: Metrics,
}

fn world(options: SinkOptions, fails: bool) -> World {
    let fake = Arc::new(Fake { fails, started: Mutex::new(Some(Instant::now())), ..Fake::default() });
    let (queue, items) = mpsc::channel(options.batch.buffer_size);
    let root = Shutdown::new();
    let mut tasks = Tasks::new("test", &root);
    let (metrics, initial_backoff) = (Metrics::new(), Duration::from_secs(10));
    let sender = fake.clone();
    let backend = Arc::new(Backend {
        sender,
        initial_backoff,
        options,
        metrics: metrics.clone(),
        tasks: tasks.spawner(),
    });
    tasks.spawn("webhook", move |stop| backend.run(items, stop));
    World { fake, queue, root, tasks, metrics }
}

fn options(mode: Mode) -> SinkOptions {
    let batch = BatchOptions { max_batch_size: 4, throttle: Some((1.0, 2)), ..BatchOptions::WEBHOOK };
    SinkOptions { mode, batch, truncation: None }
}

impl World {
    async fn put(&self, events: usize, size: usize) {
        for _ in 0..events {
            let event = format!("{{\"x\":\"{}\"}}", "x".repeat(size)).into();
            self.queue.send(Item { event, written: None }).await.expect("the backend runs");
        }
    }

    async fn until(&self, batches: usize) {
        while self.fake.batches.lock().len() < batches {
            self.fake.came.notified().await;
        }
    }

    async fn end(self) -> Vec<(u64, usize)> {
        self.root.trigger();
        self.tasks.join().await.expect("it ends well");
        let batches = self.fake.batches.lock();
        batches.iter().map(|(at, events)| (at.as_secs(), *events)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_old() {
    let w = world(options(Mode::Batch), false);
    w.put(5, 1).await;
    w.until(2).await;
    assert_eq!(w.end().await, [(0, 4), (30, 1)]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_throttled() {
    let w = world(options(Mode::Batch), false);
    w.put(20, 1).await;
    w.until(5).await;
    assert_eq!(w.end().await, [(0, 4), (0, 4), (1, 4), (2, 4), (3, 4)], "two at once, then one a second");
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_goes_out_at_the_end() {
    let w = world(options(Mode::Batch), false);
    w.put(1, 1).await;
    tokio::task::yield_now().await;
    w.put(2, 1).await;
    let sent: usize = w.end().await.iter().map(|(_, events)| events).sum();
    assert_eq!(sent, 3);
}

#[tokio::test(start_paused = true)]
async fn large_batches_are_split() {
    let truncation = Some(Truncation { max_event_size: 500, max_batch_size: 1000 });
    let w = world(SinkOptions { truncation, ..options(Mode::Batch) }, false);
    w.put(4, 400).await;
    w.until(2).await;
    assert_eq!(w.end().await, [(0, 2), (0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told() {
    for fails in [false, true] {
        let w = world(
            SinkOptions {
                batch: BatchOptions { throttle: None, ..BatchOptions::WEBHOOK },
                ..options(Mode::Blocking)
            },
            fails,
        );
        let (written, heard) = tokio::sync::oneshot::channel();
        w.queue.send(Item { event: "{}".into(), written: Some(written) }).await.expect("it runs");
        assert_eq!(heard.await.expect("told"), !fails);
        assert_eq!(w.metrics.counts().1, u64::from(fails));
    }
}

/// Never answers.
struct Silent;

#[async_trait]
impl Sender for Silent {
    async fn send(&self, _: Bytes, _: Duration) -> Result<(), String> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_away_does_not_keep_the_server() {
    let root = Shutdown::new();
    let mut tasks = Tasks::new("test", &root);
    let metrics = Metrics::new();
    let backend = Arc::new(Backend {
        sender: Arc::new(Silent),
        initial_backoff: Duration::from_secs(10),
        options: options(Mode::Batch),
        metrics: metrics.clone(),
        tasks: tasks.spawner(),
    });
    let (queue, items) = mpsc::channel(8);
    tasks.spawn("webhook", move |stop| backend.run(items, stop));
    queue.send(Item { event: "{}".into(), written: None }).await.expect("it runs");
    root.trigger();
    let before = Instant::now();
    tasks.join().await.expect("it ends well");
    assert_eq!((before.elapsed(), metrics.counts().1), (GRACE, 1));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_away_is_called_again() {
    let check = async |refusals: usize, wanted: (Result<(), String>, usize)| {
        let calls = std::cell::Cell::new(0);
        let call = || async {
            calls.set(calls.get() + 1);
            if calls.get() > refusals { Ok(()) } else { Err("connection refused".to_string()) }
        };
        let begun = Instant::now();
        let told = tried(Duration::from_secs(10), call).await;
        assert_eq!((told, calls.get()), wanted);
        begun.elapsed()
    };
    assert!(check(0, (Ok(()), 1)).await.is_zero());
    assert!(check(4, (Ok(()), 5)).await > Duration::from_secs(60));
    check(9, (Err("connection refused".into()), 5)).await;
}
