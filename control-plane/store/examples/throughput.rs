//! What the embedded store costs: `cargo run --release -p oarlock-store --example throughput [seconds [folder]]`.
//!
//! Times are of this machine; the processor's time per operation is what to compare.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use nix::sys::resource::{UsageWho, getrusage};
use oarlock_store::{
    Compare, EmbeddedOptions, ListOptions, Op, Revision, Store, Txn, TxnReply, open_embedded,
};

const VALUE: usize = 1024;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().and_then(|s| s.parse().ok()).unwrap_or(3.0);
    let base = args.next().map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).expect("a folder to write to");
    let path = folder.path().join("store");
    let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
    let mut watch = store.watch(b"/registry/", Revision(0)).await.expect("watch");
    let mut next = 0;
    for (writers, busy) in [(1, 0), (8, 0), (64, 0), (256, 0), (64, 50)] {
        // One watch, as the API server's cache has one.
        let drained = async { while watch.next().await.is_some_and(|b| b.is_ok()) {} };
        let store: Arc<dyn Store> = store.clone();
        tokio::select! {
            () = create(&store, (writers, Duration::from_micros(busy)), Duration::from_secs_f64(seconds), &mut next) => {}
            () = drained => panic!("the watch was cut off"),
        }
    }
    let mark = Mark::now();
    let listing = store.list(b"/registry/", ListOptions::default()).await.expect("list");
    mark.tell(&format!("list of {} keys", listing.items.len()), 1);
    drop(listing);
    let mark = Mark::now();
    for i in 0..next {
        assert!(store.get(key(i).as_bytes(), None).await.expect("get").0.is_some());
    }
    mark.tell("get", next);
    let Revision(versions) = store.revision().await.expect("revision");
    let mark = Mark::now();
    store.close();
    mark.tell("close", 1);
    let mark = Mark::now();
    let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
    mark.tell(&format!("open with {versions} versions"), 1);
    drop(store);
    let size = std::fs::metadata(&path).expect("the file").len();
    println!("file: {:.1} MiB", size as f64 / f64::from(1 << 20));
}

fn key(i: u64) -> String {
    format!("/registry/configmaps/default/config-{i:07}")
}

/// `busy`: how long a writer keeps a processor busy before each write, as a server does; it is not counted.
async fn create(store: &Arc<dyn Store>, (writers, busy): (usize, Duration), time: Duration, next: &mut u64) {
    let mark = Mark::now();
    let counter = std::sync::atomic::AtomicU64::new(*next);
    let counter = &counter;
    let write = |_| async move {
        while mark.wall.elapsed() < time {
            let started = Instant::now();
            while started.elapsed() < busy {
                std::hint::spin_loop();
            }
            if !busy.is_zero() {
                tokio::task::yield_now().await;
            }
            let key = key(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let guards = vec![Compare { key: key.clone().into(), mod_revision: Revision(0) }];
            let op = Op::Put { key: key.into(), value: vec![7; VALUE].into(), lease: None };
            let reply = store.transact(Txn { guards, ops: vec![op] }).await.expect("write");
            assert!(matches!(reply, TxnReply::Done { .. }));
        }
    };
    join_all((0..writers).map(write)).await;
    let done = counter.load(std::sync::atomic::Ordering::Relaxed);
    let mark = Mark { cpu: mark.cpu + busy.as_secs_f64() * (done - *next) as f64, ..mark };
    mark.tell(&format!("create of {VALUE} bytes, {writers} in flight, {busy:?}"), done - *next);
    *next = done;
}

#[derive(Clone, Copy)]
struct Mark {
    wall: Instant,
    cpu: f64,
}

fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("of oneself");
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

impl Mark {
    fn now() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn tell(self, what: &str, count: u64) {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), cpu() - self.cpu);
        let each = |seconds: f64| seconds * 1e6 / count as f64;
        println!(
            "{what:42} {count:8} × {:9.1} µs, {:9.1} µs of CPU, {:9.0} a second",
            each(wall),
            each(cpu),
            count as f64 / wall
        );
    }
}
