//! Commits a second of the embedded store: `cargo run -p oarlock-store --example throughput [seconds [folder]]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use oarlock_store::{EmbeddedOptions, ListOptions, Op, Revision, Store, Txn, open_embedded};

const VALUE: usize = 1024;
const KEYS: usize = 10_000;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().and_then(|s| s.parse().ok()).unwrap_or(3.0);
    let base = args.next().map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).expect("a folder to write to");
    let path = folder.path().join("store");
    let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
    let _watch = store.watch(b"/registry/", Revision(0)).await.expect("watch");
    for writers in [1, 16, 128] {
        let rate = measure(&store_of(&store), writers, Duration::from_secs_f64(seconds)).await;
        println!("{writers:4} writers: {rate:9.0} commits/s of {VALUE} bytes");
    }
    let started = Instant::now();
    let listing = store.list(b"/registry/", ListOptions::default()).await.expect("list");
    println!("list of {} keys: {:.1} ms", listing.items.len(), started.elapsed().as_secs_f64() * 1e3);
    drop(listing);
    let started = Instant::now();
    let mut found = 0;
    for i in 0..KEYS {
        found += usize::from(store.get(key(i).as_bytes(), None).await.expect("get").0.is_some());
    }
    println!("get: {:.1} µs ({found} found)", started.elapsed().as_secs_f64() * 1e6 / KEYS as f64);
    let Revision(versions) = store.revision().await.expect("revision");
    store.close();
    let started = Instant::now();
    let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
    println!("open with {versions} versions: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    drop(store);
    let size = std::fs::metadata(&path).expect("the file").len();
    println!("file: {:.1} MiB", size as f64 / f64::from(1 << 20));
}

fn store_of(store: &Arc<impl Store>) -> Arc<dyn Store> {
    store.clone()
}

fn key(i: usize) -> String {
    format!("/registry/pods/default/pod-{i:05}")
}

async fn measure(store: &Arc<dyn Store>, writers: usize, time: Duration) -> f64 {
    let started = Instant::now();
    let write = |writer: usize| async move {
        let mut count = 0_usize;
        while started.elapsed() < time {
            let key = key((writer + count * writers) % KEYS).into();
            let op = Op::Put { key, value: vec![count as u8; VALUE].into(), lease: None };
            store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await.expect("write");
            count += 1;
        }
        count
    };
    let total: usize = join_all((0..writers).map(write)).await.into_iter().sum();
    total as f64 / started.elapsed().as_secs_f64()
}
