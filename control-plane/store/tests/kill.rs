//! kill -9 at random moments: what was acknowledged is there, and revisions never go backwards.
//!
//! The test runs its own binary as the writer, reads acknowledgements from its pipe, and kills it after a random number
//! of them plus a random moment. `OARLOCK_SEED` repeats a run; `OARLOCK_KILLS` sets the number of kills.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use oarlock_store::{EmbeddedOptions, ListOptions, Op, Revision, Store, Txn, TxnReply, open_embedded};

const KEYS: u64 = 50;
const WRITERS: u64 = 8;

fn options() -> EmbeddedOptions {
    // A short history makes compaction part of the test.
    EmbeddedOptions { keep_history: Some(Duration::from_millis(3)), ..EmbeddedOptions::default() }
}

/// The writer: not a test, but what the test below runs in another process.
#[test]
fn child() {
    let Ok(path) = std::env::var("OARLOCK_KILL_CHILD") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let store = open_embedded(Path::new(&path), options()).expect("open");
        join_all((0..WRITERS).map(|writer| write_for_ever(store.clone(), writer))).await;
    });
}

async fn write_for_ever(store: Arc<dyn Store>, writer: u64) {
    for i in 0_u64.. {
        let key = format!("/k/{writer}/{}", i % KEYS);
        let delete = i % 7 == 6;
        let op = if delete {
            Op::Delete { key: key.clone().into() }
        } else {
            let value = vec![i as u8; 20 + (i as usize * 37) % 3000];
            Op::Put { key: key.clone().into(), value: value.into(), lease: None }
        };
        let reply = store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await.expect("write");
        let TxnReply::Done { revision } = reply else { panic!("there is no guard") };
        // One write call per line: a killed process leaves no half of it in its own buffers.
        let line = format!("ack {revision} {} {key}\n", if delete { "-" } else { "+" });
        std::io::stdout().lock().write_all(line.as_bytes()).expect("the pipe is open");
    }
}

/// What the parent knows for certain: per key the newest acknowledged revision, and whether it is there.
#[derive(Default)]
struct Known {
    keys: HashMap<String, (u64, bool)>,
    newest: u64,
}

impl Known {
    fn learn(&mut self, line: &str) -> bool {
        // The test harness prints without a line's end before the child's first acknowledgement.
        let Some(ack) = line.find("ack ").map(|at| &line[at..]) else { return false };
        let words: Vec<&str> = ack.split_whitespace().collect();
        let [_, revision, sign, key] = words[..] else { return false };
        let revision: u64 = revision.parse().expect("a revision");
        self.newest = self.newest.max(revision);
        self.keys.insert(key.to_owned(), (revision, sign == "+"));
        true
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = from_env("OARLOCK_SEED").unwrap_or(now.as_nanos() as u64);
    let kills = from_env("OARLOCK_KILLS").unwrap_or(150);
    println!("OARLOCK_SEED={seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let mut known = Known::default();
    let mut newest = 0;
    for round in 0..kills {
        run_and_kill(&path, &mut random, &mut known);
        newest = verify(&path, &mut known, newest, &format!("seed {seed}, round {round}"));
    }
    println!("{kills} kills, {} revisions", newest);
}

fn run_and_kill(path: &Path, random: &mut Random, known: &mut Known) {
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env("OARLOCK_KILL_CHILD", path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the writer");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut until_kill = random.below(200);
    while until_kill > 0 {
        let line = lines.next().expect("the writer runs until it is killed").expect("a line");
        until_kill -= u64::from(known.learn(&line));
    }
    // Not at an acknowledgement but somewhere between: spin for a moment.
    for _ in 0..random.below(200_000) {
        std::hint::spin_loop();
    }
    child.kill().expect("kill -9");
    child.wait().expect("reap");
    // What it acknowledged before it died counts; an unfinished line does not.
    for line in lines.map_while(Result::ok) {
        known.learn(&line);
    }
}

/// Opens what the dead writer left. An unacknowledged write may be there too, so a key may be newer than known.
fn verify(path: &Path, known: &mut Known, before: u64, context: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let store = open_embedded(path, options()).unwrap_or_else(|e| panic!("{context}: {e:?}"));
        let Revision(newest) = store.revision().await.expect("revision");
        assert!(
            newest >= known.newest && newest >= before,
            "{context}: {newest} after {} and {before}",
            known.newest
        );
        let listing = store.list(b"/k/", ListOptions::default()).await.expect("list");
        let found: HashMap<Bytes, u64> =
            listing.items.into_iter().map(|kv| (kv.key, kv.mod_revision.0)).collect();
        // Whatever is not as known was in flight when the writer died: at most one write of each of its tasks.
        let mut in_flight = 0;
        for (key, state) in &mut known.keys {
            let (revision, there) = *state;
            match found.get(key.as_bytes()) {
                Some(&at) if at == revision => assert!(there, "{context}: {key} was deleted at {revision}"),
                Some(&at) => {
                    assert!(at > revision, "{context}: {key} is at {at}, {revision} was acknowledged");
                    *state = (at, true);
                    in_flight += 1;
                }
                None if there => {
                    *state = (newest, false);
                    in_flight += 1;
                }
                None => {}
            }
        }
        assert!(in_flight <= WRITERS, "{context}: {in_flight} keys are not as acknowledged");
        newest
    })
}
