//! Concurrent histories and their judge.
//!
//! Every answer of a store names a revision, so an order of all operations is claimed by the answers themselves: a write
//! happened at its revision, a read right after the revision that it reports. The judge checks that this order explains every
//! answer, that it respects real time (what had ended before another began comes first), and that the log of the store (a
//! watch from the beginning) holds exactly the writes that were asked for, each once, and all that were acknowledged. That
//! is linearisability with the witness given, so no search is needed, and lists and transactions over several keys are
//! checked as strictly as single keys. Watches made meanwhile must be the log, piece by piece.
//!
//! A history is lines of text, because the writer may be a process that is killed:
//! `c <id> <what> <keys>` begins, `r <id> <how> <revision> <key=state>…` ends; `w <watch> <after>` begins a watch and
//! `e <watch> <revision> <key=value>…` is a batch of it. Values are the ids of their writers, so no two are the same. Every line ends
//! with a full stop: one that does not was cut off.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use oarlock_store::{
    Compare, KeyValue, ListOptions, Op, Revision, Store, StoreError, Txn, TxnReply, WatchBatch,
};

pub(crate) const PREFIX: &str = "/h/";
const KEYS: u64 = 6;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// `OARLOCK_SEED`, or a new seed; printed either way.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("OARLOCK_SEED").ok().and_then(|s| s.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = given.unwrap_or(now.as_nanos() as u64);
    println!("OARLOCK_SEED={seed}");
    seed
}

/// Takes the lines of a history, in the order of real time.
#[derive(Clone)]
pub(crate) struct Sink(pub(crate) Arc<dyn Fn(String) + Send + Sync>);

impl Sink {
    fn say(&self, line: String) {
        (self.0)(line + " .");
    }
}

fn key(random: &mut Random) -> String {
    format!("{PREFIX}{}", random.below(KEYS))
}

fn state(kv: Option<&KeyValue>) -> String {
    kv.map_or("-".into(), |kv| format!("{}:{}", kv.mod_revision, String::from_utf8_lossy(&kv.value)))
}

fn set(key: &str, id: u64) -> Op {
    Op::Put { key: key.to_owned().into(), value: id.to_string().into(), lease: None }
}

/// One client: does random things one after another, `ids` apart from everybody else's.
pub(crate) async fn client(
    store: Arc<dyn Store>,
    sink: Sink,
    mut random: Random,
    ids: Arc<AtomicU64>,
    count: u64,
) {
    let mut known: HashMap<String, Revision> = HashMap::new();
    for _ in 0..count {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        match random.below(10) {
            0..=2 => {
                let key = key(&mut random);
                sink.say(format!("c {id} put {key}"));
                write(&*store, &sink, id, &[&key], None, vec![set(&key, id)], &mut known).await;
            }
            3..=4 => {
                let key = key(&mut random);
                let guard = known.get(&key).copied().unwrap_or_default();
                sink.say(format!("c {id} cas {key} {guard}"));
                write(&*store, &sink, id, &[&key], Some(guard), vec![set(&key, id)], &mut known).await;
            }
            5 => {
                let key = key(&mut random);
                sink.say(format!("c {id} del {key}"));
                let ops = vec![Op::Delete { key: key.clone().into() }];
                write(&*store, &sink, id, &[&key], None, ops, &mut known).await;
            }
            6 => {
                let (one, two) = (key(&mut random), key(&mut random));
                sink.say(format!("c {id} pair {one} {two}"));
                write(
                    &*store,
                    &sink,
                    id,
                    &[&one, &two],
                    None,
                    vec![set(&one, id), set(&two, id)],
                    &mut known,
                )
                .await;
            }
            7..=8 => {
                let key = key(&mut random);
                sink.say(format!("c {id} get {key}"));
                match store.get(key.as_bytes(), None).await {
                    Ok((found, at)) => {
                        sink.say(format!("r {id} read {at} {key}={}", state(found.as_ref())));
                        known.insert(key, found.map_or(Revision(0), |kv| kv.mod_revision));
                    }
                    Err(_) => sink.say(format!("r {id} lost 0")),
                }
            }
            _ => {
                sink.say(format!("c {id} list"));
                match store.list(PREFIX.as_bytes(), ListOptions::default()).await {
                    Ok(listing) => {
                        let items = listing.items.iter();
                        let items: String = items
                            .map(|kv| format!(" {}={}", String::from_utf8_lossy(&kv.key), state(Some(kv))))
                            .collect();
                        sink.say(format!("r {id} list {}{items}", listing.revision));
                    }
                    Err(_) => sink.say(format!("r {id} lost 0")),
                }
            }
        }
    }
}

async fn write(
    store: &dyn Store,
    sink: &Sink,
    id: u64,
    keys: &[&str],
    guard: Option<Revision>,
    ops: Vec<Op>,
    known: &mut HashMap<String, Revision>,
) {
    let guards = guard.map(|mod_revision| Compare { key: keys[0].to_owned().into(), mod_revision });
    match store.transact(Txn { guards: guards.into_iter().collect(), ops }).await {
        Ok(TxnReply::Done { revision }) => {
            sink.say(format!("r {id} done {revision}"));
            known.insert(keys[0].to_owned(), revision);
        }
        Ok(TxnReply::Failed { revision, current }) => {
            let current = current.first().and_then(Option::as_ref);
            sink.say(format!("r {id} failed {revision} {}={}", keys[0], state(current)));
            known.insert(keys[0].to_owned(), current.map_or(Revision(0), |kv| kv.mod_revision));
        }
        // Perhaps it was done.
        Err(_) => sink.say(format!("r {id} lost 0")),
    }
}

fn batch_line(id: u64, batch: &WatchBatch) -> String {
    let events = batch.events.iter().map(|e| {
        let value = if e.kind == oarlock_store::EventKind::Delete {
            "-".into()
        } else {
            String::from_utf8_lossy(&e.now.value)
        };
        let kind = match e.kind {
            oarlock_store::EventKind::Create => "created",
            oarlock_store::EventKind::Update => "updated",
            oarlock_store::EventKind::Delete => "deleted",
        };
        format!(" {}={value}/{kind}", String::from_utf8_lossy(&e.now.key))
    });
    format!("e {id} {}{}", batch.revision, events.collect::<String>())
}

/// Watches for ever, beginning again where it was when the watch ends.
pub(crate) async fn watcher(store: Arc<dyn Store>, sink: Sink, id: u64, after: Revision) {
    let mut reached = after;
    sink.say(format!("w {id} {after}"));
    loop {
        let Ok(mut batches) = store.watch(PREFIX.as_bytes(), reached).await else {
            tokio::task::yield_now().await;
            continue;
        };
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    reached = reached.max(batch.revision);
                    sink.say(batch_line(id, &batch));
                }
                Err(StoreError::Unavailable(_) | StoreError::Lagged { .. }) => break,
                Err(other) => panic!("watch {id} after {reached}: {other}"),
            }
        }
    }
}

/// What the store says happened: per revision, per key the new value.
pub(crate) type Log = BTreeMap<u64, BTreeMap<String, Option<String>>>;

/// Reads the log above `start` from a quiet store.
pub(crate) async fn read_log(store: &dyn Store, start: Revision) -> Log {
    let newest = store.revision().await.expect("revision");
    let mut log = Log::new();
    let mut batches = store.watch(PREFIX.as_bytes(), start).await.expect("watch");
    let mut reached = start;
    while reached < newest {
        let batch = batches.next().await.expect("it goes on").expect("no error");
        reached = batch.revision;
        let events = batch.events.iter().map(|e| {
            let key = String::from_utf8_lossy(&e.now.key).into_owned();
            let deleted = e.kind == oarlock_store::EventKind::Delete;
            (key, (!deleted).then(|| String::from_utf8_lossy(&e.now.value).into_owned()))
        });
        let events: BTreeMap<_, _> = events.collect();
        assert!(events.is_empty() || log.insert(batch.revision.0, events).is_none(), "a revision came twice");
    }
    log
}

#[derive(Debug, Default, Clone)]
struct Operation {
    what: String,
    keys: Vec<String>,
    guard: Option<u64>,
    /// `lost` if it never ended.
    how: String,
    revision: u64,
    states: Vec<(String, String)>,
}

/// Panics with what is wrong. Gives the number of operations that ended, and of writes in the log.
pub(crate) fn judge(lines: &[String], log: &Log, start: u64) -> (usize, usize) {
    let timeline = Timeline::new(log);
    let mut open: HashMap<u64, (Operation, u64)> = HashMap::new();
    let mut all: HashMap<u64, Operation> = HashMap::new();
    let mut floors: HashMap<u64, u64> = HashMap::new();
    let mut floor = start;
    let mut watches: HashMap<u64, Vec<(u64, Vec<String>)>> = HashMap::new();
    let mut begun: HashMap<u64, u64> = HashMap::new();
    for line in lines.iter().filter_map(|l| l.strip_suffix(" .")) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap_or_else(|_| panic!("number {i} of {line:?}"));
        match words[0] {
            "c" => {
                let guard = (words[2] == "cas").then(|| number(4));
                let keys =
                    words[3..].iter().filter(|w| w.starts_with(PREFIX)).map(|w| (*w).to_owned()).collect();
                let operation = Operation {
                    what: words[2].into(),
                    keys,
                    guard,
                    how: "lost".into(),
                    ..Operation::default()
                };
                floors.insert(number(1), floor);
                open.insert(number(1), (operation, floor));
            }
            "r" => {
                let (mut operation, floor_then) = open.remove(&number(1)).expect("it began");
                operation.how = words[2].into();
                operation.revision = number(3);
                operation.states = words[4..]
                    .iter()
                    .map(|w| w.split_once('=').expect("key=state"))
                    .map(|(k, s)| (k.into(), s.into()))
                    .collect();
                timeline.explain(number(1), &operation, floor_then);
                if operation.how != "lost" {
                    floor = floor.max(operation.revision);
                }
                all.insert(number(1), operation);
            }
            "w" => {
                begun.insert(number(1), number(2));
                watches.insert(number(1), Vec::new());
            }
            "e" => {
                let events = words[3..].iter().map(|w| (*w).to_owned()).collect();
                watches.get_mut(&number(1)).expect("it began").push((number(2), events));
            }
            other => panic!("a line of no kind: {other}"),
        }
    }
    let ended = all.values().filter(|o| o.how != "lost").count();
    all.extend(open.into_iter().map(|(id, (operation, _))| (id, operation)));
    every_change_was_asked_for(log, &all, &floors);
    for (id, batches) in watches {
        timeline.follow(id, begun[&id], &batches);
    }
    (ended, log.len())
}

fn every_change_was_asked_for(log: &Log, all: &HashMap<u64, Operation>, floors: &HashMap<u64, u64>) {
    let mut done: HashMap<u64, u64> = HashMap::new();
    for (&revision, changes) in log {
        let mut writers: Vec<&String> = changes.values().flatten().collect();
        writers.dedup();
        assert!(writers.len() <= 1, "revision {revision} mixes writes: {changes:?}");
        let Some(writer) = writers.first() else { continue };
        let id: u64 = writer.parse().expect("values are ids");
        let operation = all.get(&id).unwrap_or_else(|| panic!("nobody wrote {id}, which is at {revision}"));
        assert!(floors[&id] < revision, "write {id} is at {revision}, but {} was over before", floors[&id]);
        if let Some(before) = done.insert(id, revision) {
            panic!("write {id} was done at {before} and again at {revision}");
        }
        let mut keys = operation.keys.clone();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys, changes.keys().cloned().collect::<Vec<_>>(), "write {id} is whole");
        assert!(["done", "lost"].contains(&&*operation.how), "write {id} is there but {}", operation.how);
        assert!(
            operation.how == "lost" || operation.revision == revision,
            "write {id} is not where it was said"
        );
    }
    for (id, operation) in all {
        let written = ["put", "cas", "pair"].contains(&&*operation.what);
        if written && operation.how == "done" {
            assert!(
                done.contains_key(id),
                "write {id} was acknowledged at {} and is lost",
                operation.revision
            );
        }
    }
}

/// Every key's values by revision.
struct Timeline<'a> {
    log: &'a Log,
    keys: HashMap<&'a str, BTreeMap<u64, Option<&'a str>>>,
}

impl<'a> Timeline<'a> {
    fn new(log: &'a Log) -> Self {
        let mut keys: HashMap<&str, BTreeMap<u64, Option<&str>>> = HashMap::new();
        for (&revision, changes) in log {
            for (key, value) in changes {
                keys.entry(key).or_default().insert(revision, value.as_deref());
            }
        }
        Self { log, keys }
    }

    /// As `state` writes it.
    fn at(&self, key: &str, revision: u64) -> String {
        let found = self.keys.get(key).and_then(|k| k.range(..=revision).next_back());
        found.and_then(|(at, value)| value.map(|v| format!("{at}:{v}"))).unwrap_or_else(|| "-".into())
    }

    /// Is the answer the one of the state that it names, and that state new enough?
    fn explain(&self, id: u64, operation: &Operation, floor: u64) {
        let revision = operation.revision;
        let context = format!("operation {id} ({operation:?})");
        match &*operation.how {
            "lost" => return,
            "done" if operation.what == "del" => {
                assert_eq!(self.at(&operation.keys[0], revision), "-", "{context}");
            }
            "done" => {
                assert!(revision > floor, "{context} came after {floor}");
                if let Some(guard) = operation.guard {
                    let before = self.at(&operation.keys[0], revision - 1);
                    let held = before.split_once(':').map_or("0", |(at, _)| at);
                    assert_eq!(held, guard.to_string(), "{context}: its guard did not hold");
                }
            }
            "failed" => {
                let (key, state) = &operation.states[0];
                assert_eq!(&self.at(key, revision), state, "{context}");
                let held = state.split_once(':').map_or("0", |(at, _)| at);
                assert_ne!(held, operation.guard.expect("guarded").to_string(), "{context}: its guard held");
            }
            "read" => {
                let (key, state) = &operation.states[0];
                assert_eq!(&self.at(key, revision), state, "{context}");
            }
            "list" => {
                let here: BTreeMap<String, String> = self
                    .keys
                    .keys()
                    .map(|key| ((*key).to_owned(), self.at(key, revision)))
                    .filter(|(_, state)| state != "-")
                    .collect();
                assert_eq!(here, operation.states.iter().cloned().collect(), "{context}");
            }
            other => panic!("no such end: {other}"),
        }
        assert!(revision >= floor, "{context} is older than {floor}, which was known before it began");
    }

    /// A watch is the log from where it began to where it got: in order, whole, nothing twice, each as the kind of change that it was.
    fn follow(&self, id: u64, after: u64, batches: &[(u64, Vec<String>)]) {
        let mut reached = after;
        for (revision, events) in batches {
            if events.is_empty() {
                if *revision <= reached {
                    continue;
                }
                let missed: Vec<_> = self.log.range(reached + 1..=*revision).collect();
                assert!(missed.is_empty(), "watch {id} was told {revision} without {missed:?}");
                reached = *revision;
                continue;
            }
            assert!(*revision > reached, "watch {id} at {reached} was given {revision}");
            let missed: Vec<_> = self.log.range(reached + 1..*revision).collect();
            assert!(missed.is_empty(), "watch {id} missed {missed:?}");
            let expected =
                self.log.get(revision).unwrap_or_else(|| panic!("watch {id}: {revision} never was"));
            let mut seen = events.clone();
            seen.sort_unstable();
            let expected: Vec<String> = expected
                .iter()
                .map(|(key, value)| {
                    let kind = match (self.at(key, revision - 1).contains(':'), value) {
                        (_, None) => "deleted",
                        (true, Some(_)) => "updated",
                        (false, Some(_)) => "created",
                    };
                    format!("{key}={}/{kind}", value.as_deref().unwrap_or("-"))
                })
                .collect();
            assert_eq!(seen, expected, "watch {id} at {revision}");
            reached = *revision;
        }
    }
}
