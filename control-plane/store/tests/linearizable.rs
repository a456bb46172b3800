//! Concurrent histories on every backend, with crashes and lost members, judged (`common/history.rs`).

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::history::{Random, Sink, client, judge, read_log, seed, watcher};
use common::{Cluster, Setup, connect, impatient};
use futures::future::join_all;
use oarlock_store::{EmbeddedOptions, MemoryStore, Revision, Store, etcd, open_embedded};
use parking_lot::Mutex;
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;

/// Keeps the lines in memory.
fn keep() -> (Sink, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (Sink(Arc::new(move |line| kept.lock().push(line))), lines)
}

/// Clients on one store until each has done `count` things, with two watches beside them.
async fn run(
    store: Arc<dyn Store>,
    sink: &Sink,
    seed: u64,
    start: Revision,
    count: u64,
    ids: Arc<AtomicU64>,
) {
    let mut clients = JoinSet::new();
    for i in 0..CLIENTS {
        clients.spawn(client(store.clone(), sink.clone(), Random(seed ^ (i << 32)), ids.clone(), count));
    }
    let done = async {
        while let Some(ended) = clients.join_next().await {
            ended.expect("no client panics");
        }
    };
    let watches = join_all(
        (0..2).map(|_| watcher(store.clone(), sink.clone(), ids.fetch_add(1, Ordering::Relaxed), start)),
    );
    tokio::select! {
        () = done => {}
        _ = watches => unreachable!("they never end"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_is_linearizable() {
    let seed = seed();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (sink, lines) = keep();
    run(store.clone(), &sink, seed, Revision(0), 300, Arc::new(1.into())).await;
    let log = read_log(&*store, Revision(0)).await;
    let (ended, written) = judge(&lines.lock(), &log, 0);
    assert!(ended as u64 == CLIENTS * 300 && written > 500, "{ended} ended, {written} written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn embedded_is_linearizable() {
    let seed = seed();
    let folder = tempfile::tempdir().expect("folder");
    let store = open_embedded(&folder.path().join("store"), EmbeddedOptions::default()).expect("open");
    let (sink, lines) = keep();
    run(store.clone(), &sink, seed, Revision(0), 300, Arc::new(1.into())).await;
    let log = read_log(&*store, Revision(0)).await;
    let (ended, written) = judge(&lines.lock(), &log, 0);
    assert!(ended as u64 == CLIENTS * 300 && written > 500, "{ended} ended, {written} written");
}

fn history_is_kept() -> EmbeddedOptions {
    EmbeddedOptions { keep_history: None, ..EmbeddedOptions::default() }
}

/// Not a test, but what the test below runs in another process: `path seed first-id`.
#[test]
fn child() {
    let Ok(told) = std::env::var("OARLOCK_HISTORY_CHILD") else { return };
    let told: Vec<&str> = told.split(' ').collect();
    let (seed, first): (u64, u64) = (told[1].parse().expect("a seed"), told[2].parse().expect("an id"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("runtime").block_on(async {
        let store = open_embedded(Path::new(told[0]), history_is_kept()).expect("open");
        let start = store.revision().await.expect("revision");
        // One write call per line, in the order in which the lines are handed over.
        let pipe = Mutex::new(std::io::stdout());
        let sink = Sink(Arc::new(move |line| {
            pipe.lock().write_all((line + "\n").as_bytes()).expect("the pipe is open");
        }));
        run(store, &sink, seed, start, u64::MAX, Arc::new(first.into())).await;
    });
}

#[test]
fn embedded_is_linearizable_across_kill_9() {
    let seed = seed();
    let mut random = Random(seed);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let mut lines = Vec::new();
    let kills = std::env::var("OARLOCK_KILLS").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    for round in 0..kills {
        let told = format!("{} {} {}", path.display(), seed ^ round, (round + 1) * 10_000_000);
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env("OARLOCK_HISTORY_CHILD", told)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the child");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut left = 20 + random.below(400);
        let mut output = output.lines().map_while(Result::ok).filter(|line| line.ends_with(" ."));
        while left > 0 {
            lines.push(clean(&output.next().expect("the child runs until it is killed")));
            left -= 1;
        }
        child.kill().expect("kill -9");
        child.wait().expect("reap");
        // What it said before it died counts.
        lines.extend(output.map(|line| clean(&line)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let log = runtime.block_on(async {
        let store = open_embedded(&path, history_is_kept()).expect("open");
        read_log(&*store, Revision(0)).await
    });
    let (ended, written) = judge(&lines, &log, 0);
    println!("{kills} kills, {ended} operations, {written} revisions");
    assert!(written > 100);
}

/// The test harness prints without a line's end before the child's first line.
fn clean(line: &str) -> String {
    let at = ["c ", "w "].iter().filter_map(|start| line.find(&format!("... {start}"))).min();
    at.map_or(line, |at| &line[at + 4..]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn etcd_is_linearizable_while_members_come_and_go() {
    let Some(binary) = common::binary() else { return };
    let seed = seed();
    let mut cluster = Cluster::start(&binary, Setup { members: 3, ..Setup::default() });
    let config = impatient(cluster.config());
    let store = connect(config.clone()).await;
    let start = store.revision().await.expect("revision");
    let (sink, lines) = keep();
    let ids = Arc::new(AtomicU64::new(1));
    let done = Arc::new(AtomicU64::new(0));
    let mut work = JoinSet::new();
    {
        let (store, sink, ids, done) = (store.clone(), sink.clone(), ids.clone(), done.clone());
        work.spawn(async move {
            // A second connection, as a second API server has one.
            let other = connect(config).await;
            let one = run(store, &sink, seed, start, 400, ids.clone());
            let two = run(other, &sink, seed ^ 7, start, 400, ids.clone());
            tokio::join!(one, two);
            done.store(1, Ordering::Relaxed);
        });
    }
    let mut random = Random(seed);
    let mut kills = 0;
    while done.load(Ordering::Relaxed) == 0 {
        let victim = random.below(3) as usize;
        cluster.members[victim].kill();
        kills += 1;
        // The others go on without it.
        let before = ids.load(Ordering::Relaxed);
        while ids.load(Ordering::Relaxed) < before + 100 && done.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        cluster.members[victim].start();
        let alone =
            etcd::Config { endpoints: vec![cluster.members[victim].endpoint.clone()], ..cluster.config() };
        connect(alone).await;
    }
    work.join_next().await.expect("it was started").expect("no client panics");
    let log = read_log(&*store, start).await;
    let (ended, written) = judge(&lines.lock(), &log, start.0);
    println!("{kills} members killed, {ended} operations ended, {written} revisions");
    assert!(kills >= 3 && written > 500, "{kills} kills, {written} written");
}

/// The judge itself: a true history passes, and each lie is found.
#[test]
fn the_judge_finds_lies() {
    let truth = [
        "w 100 0 .",
        "c 1 put /h/0 .",
        "r 1 done 1 .",
        "c 2 put /h/1 .",
        "c 3 get /h/0 .",
        "r 3 read 1 /h/0=1:1 .",
        "r 2 done 2 .",
        "c 4 cas /h/0 1 .",
        "r 4 done 3 .",
        "c 5 cas /h/0 1 .",
        "r 5 failed 3 /h/0=3:4 .",
        "c 6 list .",
        "r 6 list 3 /h/0=3:4 /h/1=2:2 .",
        "c 7 put /h/0 .",
        "e 100 1 /h/0=1/created .",
        "e 100 2 /h/1=2/created .",
        "e 100 3 /h/0=4/updated .",
        "e 100 4 /h/0=7/updated .",
    ];
    let entry = |revision: u64, key: &str, value: &str| {
        (revision, [(key.to_owned(), Some(value.to_owned()))].into_iter().collect())
    };
    let log: common::history::Log =
        [entry(1, "/h/0", "1"), entry(2, "/h/1", "2"), entry(3, "/h/0", "4"), entry(4, "/h/0", "7")].into();
    let passes = |lines: &[String]| std::panic::catch_unwind(|| judge(lines, &log, 0)).is_ok();
    let with = |from: &str, to: &str| -> Vec<String> {
        let changed = truth.iter().map(|line| if *line == from { to.to_owned() } else { (*line).to_owned() });
        changed.filter(|line| !line.is_empty()).collect()
    };
    assert!(passes(&with("", "")));
    for (from, to) in [
        // A stale read, a read of what never was, a write that is lost, and one at a place that is not its own.
        ("r 6 list 3 /h/0=3:4 /h/1=2:2 .", "r 6 list 2 /h/0=1:1 /h/1=2:2 ."),
        ("r 3 read 1 /h/0=1:1 .", "r 3 read 1 /h/0=- ."),
        ("r 3 read 1 /h/0=1:1 .", "r 3 read 0 /h/0=- ."),
        ("r 2 done 2 .", "r 2 done 5 ."),
        ("r 1 done 1 .", "r 1 done 2 ."),
        // Guards.
        ("c 4 cas /h/0 1 .", "c 4 cas /h/0 0 ."),
        ("r 5 failed 3 /h/0=3:4 .", "r 5 failed 3 /h/0=1:1 ."),
        ("c 5 cas /h/0 1 .", "c 5 cas /h/0 3 ."),
        // Watches: one event missing, twice, as another kind, progress too early.
        ("e 100 2 /h/1=2/created .", ""),
        ("e 100 2 /h/1=2/created .", "e 100 1 /h/0=1/created ."),
        ("e 100 3 /h/0=4/updated .", "e 100 3 /h/0=4/created ."),
        ("e 100 2 /h/1=2/created .", "e 100 2 ."),
        // Somebody wrote who never asked to.
        ("c 7 put /h/0 .", ""),
    ] {
        assert!(!passes(&with(from, to)), "{from:?} → {to:?} passes");
    }
}
