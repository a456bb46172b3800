use super::*;
use futures::FutureExt as _;

fn taken(queue: &WorkQueue<&'static str>) -> Option<&'static str> {
    queue.get().now_or_never().flatten()
}

#[tokio::test(start_paused = true)]
async fn an_item_waits_once_and_is_worked_on_by_one() {
    let queue = WorkQueue::new("test-once");
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.len(), 2);
    assert_eq!(taken(&queue), Some("a"));
    queue.add("a");
    assert_eq!(taken(&queue), Some("b"));
    assert_eq!(taken(&queue), None, "a is still being worked on");
    queue.done(&"a");
    assert_eq!(taken(&queue), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_delays_counts() {
    let queue = WorkQueue::new("test-delay");
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(2));
    queue.add_after("a", Duration::from_secs(5));
    queue.add_after("b", Duration::from_secs(3));
    let start = Instant::now();
    for (item, seconds) in [("a", 2), ("b", 3)] {
        assert_eq!(queue.get().await, Some(item));
        assert_eq!(start.elapsed().as_secs(), seconds);
        queue.done(&item);
    }
    assert!(tokio::time::timeout(Duration::from_secs(60), queue.get()).await.is_err(), "nothing else comes");
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_longer_until_forgotten() {
    let queue = WorkQueue::new("test-limits");
    for millis in [5, 10, 20, 40] {
        let start = Instant::now();
        queue.add_rate_limited("a");
        assert_eq!(queue.get().await, Some("a"));
        assert_eq!(start.elapsed().as_millis(), millis);
        queue.done(&"a");
    }
    assert_eq!(queue.requeues(&"a"), 4);
    queue.forget(&"a");
    assert_eq!(queue.requeues(&"a"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_bucket_holds_back_all_items() {
    let queue: WorkQueue<u32> = WorkQueue::new("test-bucket");
    let start = Instant::now();
    for item in 0..120 {
        queue.add_rate_limited(item);
    }
    for _ in 0..120 {
        let item = queue.get().await.expect("the queue is open");
        queue.done(&item);
    }
    assert_eq!(start.elapsed().as_secs(), 2, "100 at once, 20 more at 10 a second");
}

#[tokio::test(start_paused = true)]
async fn a_delay_wakes_a_worker_that_waits_and_the_next_takes_its_turn() {
    let queue: WorkQueue<&str> = WorkQueue::new("test-turns");
    let workers = futures::future::join(queue.get(), queue.get());
    queue.add_after("a", Duration::from_secs(1));
    queue.add_after("b", Duration::from_secs(2));
    let mut both = [workers.await].map(|(a, b)| [a, b]).concat();
    both.sort();
    assert_eq!(both, [Some("a"), Some("b")]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_drains_what_waits() {
    let queue = WorkQueue::new("test-drain");
    queue.add("a");
    queue.add_after("later", Duration::from_secs(1));
    assert_eq!(queue.get().await, Some("a"));
    queue.add("a");
    queue.shut_down();
    queue.add("b");
    assert_eq!(taken(&queue), None);
    queue.done(&"a");
    assert_eq!(queue.get().await, Some("a"), "it was added while it was worked on");
    queue.done(&"a");
    assert_eq!(queue.get().await, None);
    assert_eq!(queue.get().await, None);
}

mod workers {
    use super::*;
    use oarlock_base::{Shutdown, Tasks};
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_failed_key_comes_back_and_a_good_one_does_not() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new("test", &shutdown);
        let queue: WorkQueue<String> = WorkQueue::new("test-workers");
        let calls = Arc::new(AtomicU32::new(0));
        let (seen, stop) = (calls.clone(), shutdown.clone());
        run_workers(&mut tasks, &queue, 2, move |_key| {
            let (seen, stop) = (seen.clone(), stop.clone());
            async move {
                match seen.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(std::io::Error::other("first")),
                    1 => Ok(Outcome::RequeueAfter(Duration::from_secs(30))),
                    _ => {
                        stop.trigger();
                        Ok(Outcome::Done)
                    }
                }
            }
        });
        queue.add("key".into());
        tasks.join().await.expect("workers end well");
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }
}
