//! What every backend promises, as a suite: `contract::run(make)` with a maker of empty stores, from the backend's tests.
//!
//! A broken promise panics with the name of the case. Nothing sleeps; what must come is waited for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;

use crate::types::{
    Compare, Event, EventKind, KeyValue, LeaseId, ListOptions, Op, Revision, Store, StoreError, Txn,
    TxnReply, WatchBatch, WatchStream,
};

type Shared = Arc<dyn Store>;

/// Runs the whole suite. `make` gives a store without keys for each case; its revision may be any, and nobody else writes to it.
pub async fn run<F: Future<Output = Shared>>(make: impl Fn() -> F) {
    guards_and_revisions(make().await).await;
    several_ops_are_one_revision(make().await).await;
    lists_page_at_one_revision(make().await).await;
    reads_in_the_past_and_the_future(make().await).await;
    compaction_forgets(make().await).await;
    watches_give_everything_once_in_order(make().await).await;
    watches_report_progress(make().await).await;
    leases_end(make().await).await;
    large_requests_are_refused(make().await).await;
    concurrent_writers_lose_nothing(make().await).await;
    watches_agree_with_lists_under_load(make().await).await;
}

/// A store that is closed and opened again holds what it held. `open` is called three times on the same place.
pub async fn survives_reopening<F: Future<Output = Shared>>(open: impl Fn() -> F) {
    let store = open().await;
    let first = put(&store, "/a", "1").await;
    let second = put(&store, "/a", "2").await;
    put(&store, "/b", "1").await;
    delete(&store, "/b").await;
    let lease = store.grant(Duration::from_secs(3600)).await.expect("grant");
    put_leased(&store, "/leased", lease).await;
    let newest = store.revision().await.expect("revision");
    drop(store);

    let store = open().await;
    assert_eq!(store.revision().await.expect("revision"), newest);
    assert_eq!(value(&store, "/a", None).await, Some("2".into()));
    assert_eq!(value(&store, "/a", Some(first)).await, Some("1".into()), "history survives");
    assert_eq!(value(&store, "/b", None).await, None);
    let events = take(store.watch(b"/a", first).await.expect("watch"), 1).await;
    assert_eq!(events[0].kind, EventKind::Update);
    store.revoke(lease).await.expect("the lease survives");
    assert_eq!(value(&store, "/leased", None).await, None, "the lease kept its keys");
    let next = store.grant(Duration::from_secs(3600)).await.expect("grant");
    assert!(next > lease, "lease numbers are not given twice");
    store.compact(second).await.expect("compact");
    drop(store);

    let store = open().await;
    assert_compacted(store.get(b"/a", Some(first)).await, first, second);
    assert_eq!(value(&store, "/a", Some(second)).await, Some("2".into()));
    assert!(put(&store, "/c", "1").await > newest);
}

/// A snapshot, opened as a store of its own, is the state at the revision it reports.
pub async fn snapshots<F: Future<Output = Shared>>(
    store: Shared,
    to: &std::path::Path,
    reopen: impl Fn() -> F,
) {
    let first = put(&store, "/a", "1").await;
    put(&store, "/a", "2").await;
    let taken = store.snapshot(to).await.expect("snapshot");
    put(&store, "/a", "3").await;
    let copy = reopen().await;
    assert_eq!(copy.revision().await.expect("revision"), taken);
    assert_eq!(value(&copy, "/a", None).await, Some("2".into()));
    assert_eq!(value(&copy, "/a", Some(first)).await, Some("1".into()));
    assert!(store.snapshot(to).await.is_err(), "a snapshot overwrites nothing");
}

async fn guards_and_revisions(store: Shared) {
    let created = guarded(&store, "/k", Revision(0), "1").await.expect("absent as guarded");
    let current = guarded(&store, "/k", Revision(0), "x").await.expect_err("it exists");
    let current = current.expect("the reply has the current state");
    assert_eq!((current.value.as_ref(), current.mod_revision), (&b"1"[..], created));
    assert_eq!(store.revision().await.expect("revision"), created, "a failed guard takes no revision");
    let updated = guarded(&store, "/k", created, "2").await.expect("guard holds");
    let (now, at) = store.get(b"/k", None).await.expect("get");
    let now = now.expect("it is there");
    assert_eq!(at, updated);
    assert_eq!((now.create_revision, now.mod_revision), (created, updated));
    knows_at_most(&store, "/k", updated);
    let deleted = delete(&store, "/k").await;
    knows_at_most(&store, "/k", Revision(0));
    assert!(created < updated && updated < deleted);
    assert_eq!(delete(&store, "/k").await, deleted, "deleting nothing changes nothing");
    assert_eq!(guarded(&store, "/k", updated, "3").await, Err(None), "the current state is nothing");
    let again = guarded(&store, "/k", Revision(0), "3").await.expect("absent as guarded");
    let now = store.get(b"/k", None).await.expect("get").0.expect("it is there");
    assert_eq!(now.create_revision, again, "a new life has a new creation");
    knows_at_most(&store, "/k", again);
}

/// What a store says of a key without asking is what it would hear if it asked.
fn knows_at_most(store: &Shared, key: &str, want: Revision) {
    let known = store.revision_of(key.as_bytes());
    assert!(known.is_none_or(|known| known == want), "{key}: {known:?} instead of {want:?}");
}

async fn several_ops_are_one_revision(store: Shared) {
    let mut events = store.watch(b"/", start(&store).await).await.expect("watch");
    put(&store, "/old", "1").await;
    let ops = vec![
        set("/a", "1", None),
        set("/b", "1", None),
        Op::Delete { key: "/old".into() },
        set("/b", "2", None),
    ];
    let revision = done(store.transact(Txn { guards: Vec::new(), ops }).await.expect("transact"));
    assert_eq!(value(&store, "/b", None).await, Some("2".into()), "the last op on a key counts");
    let batch = loop {
        let batch = next(&mut events).await;
        if batch.revision == revision && !batch.events.is_empty() {
            break batch;
        }
    };
    let seen: Vec<_> = batch.events.iter().map(|e| (e.kind, e.now.key.as_ref())).collect();
    assert_eq!(seen.len(), 3, "never part of a revision, a key once: {seen:?}");
    assert!(seen.contains(&(EventKind::Delete, b"/old")));
}

async fn lists_page_at_one_revision(store: Shared) {
    for i in 0..10 {
        put(&store, &format!("/p/{i}"), "1").await;
    }
    put(&store, "/q", "1").await;
    let page = |after: Option<Bytes>, at| ListOptions { after, limit: Some(4), at };
    let first = store.list(b"/p/", page(None, None)).await.expect("list");
    assert_eq!((first.items.len(), first.remaining), (4, 6));
    delete(&store, "/p/5").await;
    put(&store, "/p/45", "1").await;
    put(&store, "/p/6", "2").await;
    let (mut keys, mut last) = (Vec::new(), first.clone());
    loop {
        keys.extend(last.items.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()));
        assert!(last.items.iter().all(|kv| kv.value == "1"), "values are of the list's revision");
        assert_eq!(last.revision, first.revision);
        if last.remaining == 0 {
            break;
        }
        let after = last.items.last().map(|kv| kv.key.clone());
        last = store.list(b"/p/", page(after, Some(first.revision))).await.expect("list");
    }
    assert_eq!(keys, (0..10).map(|i| format!("/p/{i}")).collect::<Vec<_>>());
    let now = store.list(b"/p/", ListOptions::default()).await.expect("list");
    assert_eq!((now.items.len(), now.remaining), (10, 0));
    let none = store.list(b"/none/", ListOptions::default()).await.expect("list");
    assert!(none.items.is_empty() && none.revision == now.revision);
}

async fn reads_in_the_past_and_the_future(store: Shared) {
    let created = put(&store, "/k", "1").await;
    let deleted = delete(&store, "/k").await;
    assert_eq!(value(&store, "/k", Some(created)).await, Some("1".into()));
    assert_eq!(value(&store, "/k", Some(deleted)).await, None);
    let future = Revision(deleted.0 + 1);
    let is_future =
        |error| matches!(error, StoreError::Future { asked, newest } if asked == future && newest == deleted);
    assert!(is_future(store.get(b"/k", Some(future)).await.expect_err("future")));
    let options = ListOptions { at: Some(future), ..ListOptions::default() };
    assert!(is_future(store.list(b"/", options).await.expect_err("future")));
    assert!(is_future(store.watch(b"/", future).await.err().expect("future")));
    assert!(is_future(store.compact(future).await.expect_err("future")));
}

async fn compaction_forgets(store: Shared) {
    let first = put(&store, "/a", "1").await;
    put(&store, "/gone", "1").await;
    delete(&store, "/gone").await;
    let second = put(&store, "/a", "2").await;
    let third = put(&store, "/a", "3").await;
    store.compact(second).await.expect("compact");
    store.compact(second).await.expect("compacting again changes nothing");
    assert_eq!(value(&store, "/a", Some(second)).await, Some("2".into()), "what was current stays");
    assert_eq!(value(&store, "/a", None).await, Some("3".into()));
    assert_compacted(store.get(b"/a", Some(first)).await, first, second);
    assert_compacted(store.get(b"/gone", Some(first)).await, first, second);
    assert_compacted(store.compact(first).await, first, second);
    assert_compacted(store.watch(b"/", first).await.map(drop), first, second);
    let at = ListOptions { at: Some(first), ..ListOptions::default() };
    assert_compacted(store.list(b"/", at).await, first, second);
    let events = take(store.watch(b"/", second).await.expect("watch"), 1).await;
    assert_eq!(events[0].now.mod_revision, third);
    assert_eq!(events[0].kind, EventKind::Update, "it is known to have been there before");
}

async fn watches_give_everything_once_in_order(store: Shared) {
    let start = start(&store).await;
    let created = put(&store, "/w/a", "1").await;
    let early = store.watch(b"/w/", start).await.expect("watch");
    let updated = put(&store, "/w/a", "2").await;
    put(&store, "/other", "1").await;
    let deleted = delete(&store, "/w/a").await;
    let late = store.watch(b"/w/", created).await.expect("watch");
    let last = put(&store, "/w/b", "1").await;
    let expected = [
        (EventKind::Create, created, "1"),
        (EventKind::Update, updated, "2"),
        (EventKind::Delete, deleted, ""),
        (EventKind::Create, last, "1"),
    ];
    let check = |events: Vec<Event>, expected: &[(EventKind, Revision, &str)]| {
        let seen: Vec<_> = events.iter().map(|e| (e.kind, e.now.mod_revision, e.now.value.clone())).collect();
        let expected: Vec<_> = expected.iter().map(|e| (e.0, e.1, Bytes::from(e.2.to_owned()))).collect();
        assert_eq!(seen, expected);
    };
    check(take(early, 4).await, &expected);
    check(take(late, 3).await, &expected[1..]);
}

async fn watches_report_progress(store: Shared) {
    let mut quiet = store.watch(b"/quiet/", start(&store).await).await.expect("watch");
    let mut newest = Revision(0);
    for i in 0..3 {
        newest = put(&store, "/busy", &i.to_string()).await;
    }
    assert_eq!(store.revision().await.expect("revision"), newest);
    loop {
        let batch = next(&mut quiet).await;
        assert!(batch.events.is_empty(), "nothing happened under this prefix");
        // A backend may have to write something of its own to learn it.
        if batch.revision >= newest {
            break;
        }
    }
}

async fn leases_end(store: Shared) {
    let mut events = store.watch(b"/l/", start(&store).await).await.expect("watch");
    let long = store.grant(Duration::from_secs(3600)).await.expect("grant");
    let short = store.grant(Duration::from_millis(20)).await.expect("grant");
    put_leased(&store, "/l/kept", long).await;
    let leased =
        [set("/l/1", "1", Some(short)), set("/l/2", "1", Some(short)), set("/l/moved", "1", Some(short))];
    // The lease may have ended already on a slow machine; then the keys never were.
    if store.transact(Txn { guards: Vec::new(), ops: leased.to_vec() }).await.is_ok() {
        let mut gone = 0;
        while gone < 3 {
            let batch = next(&mut events).await;
            gone += batch.events.iter().filter(|e| e.kind == EventKind::Delete).count();
        }
    }
    let refused = store.transact(Txn { guards: Vec::new(), ops: vec![set("/l/3", "1", Some(short))] }).await;
    assert!(matches!(refused, Err(StoreError::NoLease)), "{refused:?}");
    assert_eq!(value(&store, "/l/kept", None).await, Some("1".into()));
    let kept = store.get(b"/l/kept", None).await.expect("get").0.expect("there");
    assert_eq!(kept.lease, Some(long));
    put(&store, "/l/free", "1").await;
    put_leased(&store, "/l/free", long).await;
    put(&store, "/l/free", "2").await;
    store.revoke(long).await.expect("revoke");
    assert_eq!(value(&store, "/l/kept", None).await, None);
    assert_eq!(
        value(&store, "/l/free", None).await,
        Some("2".into()),
        "a later write without lease detaches"
    );
    assert!(matches!(store.revoke(long).await, Err(StoreError::NoLease)));
}

async fn large_requests_are_refused(store: Shared) {
    let large = vec![b'x'; crate::REQUEST_LIMIT];
    let op = |value: &[u8]| Op::Put { key: "/k".into(), value: Bytes::copy_from_slice(value), lease: None };
    let refused = store.transact(Txn { guards: Vec::new(), ops: vec![op(&large)] }).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    // The limit may count a little more than keys and values: etcd counts the message.
    let fits = &large[..crate::REQUEST_LIMIT - 512];
    done(store.transact(Txn { guards: Vec::new(), ops: vec![op(fits)] }).await.expect("it fits"));
    let (found, _) = store.get(b"/k", None).await.expect("get");
    assert_eq!(found.expect("it is there").value, fits);
}

const WRITERS: u64 = 16;
const INCREMENTS: u64 = 25;

async fn concurrent_writers_lose_nothing(store: Shared) {
    let Revision(start) = start(&store).await;
    let increment = || async {
        let mut known = Revision(0);
        let mut count = 0;
        loop {
            match guarded(&store, "/count", known, &(count + 1).to_string()).await {
                Ok(_) => return,
                Err(current) => {
                    known = current.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
                    count = text(current.as_ref()).map_or(0, |t| t.parse().expect("a number"));
                }
            }
        }
    };
    join_all((0..WRITERS).map(|_| async {
        for _ in 0..INCREMENTS {
            increment().await;
        }
    }))
    .await;
    assert_eq!(value(&store, "/count", None).await, Some((WRITERS * INCREMENTS).to_string()));
    assert_eq!(store.revision().await.expect("revision"), Revision(start + WRITERS * INCREMENTS));
}

async fn watches_agree_with_lists_under_load(store: Shared) {
    let write = |writer: u64| {
        let store = &store;
        async move {
            for i in 0..40 {
                let key = format!("/load/{}", (writer * 7 + i * 3) % 20);
                if i % 5 == 4 {
                    delete(store, &key).await
                } else {
                    put(store, &key, &format!("{writer}-{i}")).await
                };
            }
        }
    };
    let mut state = std::collections::BTreeMap::new();
    let mut events = store.watch(b"/load/", start(&store).await).await.expect("watch");
    join_all((0..8).map(write)).await;
    let listing = store.list(b"/load/", ListOptions::default()).await.expect("list");
    assert_eq!(store.revision().await.expect("revision"), listing.revision);
    let mut reached = Revision(0);
    while reached < listing.revision {
        let batch = next(&mut events).await;
        assert!(batch.events.is_empty() || batch.revision > reached, "revisions come in order, once");
        reached = batch.revision;
        for event in batch.events {
            let kind = event.kind;
            let known = match kind {
                EventKind::Delete => state.remove(&event.now.key),
                _ => state.insert(event.now.key.clone(), event.now),
            };
            assert_eq!(known.is_none(), kind == EventKind::Create, "a kind says what was there before");
        }
    }
    assert_eq!(state.into_values().collect::<Vec<_>>(), listing.items);
}

/// Where an empty store begins.
async fn start(store: &Shared) -> Revision {
    store.revision().await.expect("revision")
}

fn set(key: &str, value: &str, lease: Option<LeaseId>) -> Op {
    Op::Put { key: key.to_owned().into(), value: value.to_owned().into(), lease }
}

fn done(reply: TxnReply) -> Revision {
    match reply {
        TxnReply::Done { revision } => revision,
        TxnReply::Failed { .. } => panic!("no guard can have failed: {reply:?}"),
    }
}

async fn put(store: &Shared, key: &str, value: &str) -> Revision {
    done(store.transact(Txn { guards: Vec::new(), ops: vec![set(key, value, None)] }).await.expect("put"))
}

async fn put_leased(store: &Shared, key: &str, lease: LeaseId) -> Revision {
    done(
        store.transact(Txn { guards: Vec::new(), ops: vec![set(key, "1", Some(lease))] }).await.expect("put"),
    )
}

async fn delete(store: &Shared, key: &str) -> Revision {
    let ops = vec![Op::Delete { key: key.to_owned().into() }];
    done(store.transact(Txn { guards: Vec::new(), ops }).await.expect("delete"))
}

/// Compare and swap; the error is the current state.
async fn guarded(
    store: &Shared,
    key: &str,
    known: Revision,
    value: &str,
) -> Result<Revision, Option<KeyValue>> {
    let guards = vec![Compare { key: key.to_owned().into(), mod_revision: known }];
    match store.transact(Txn { guards, ops: vec![set(key, value, None)] }).await.expect("transact") {
        TxnReply::Done { revision } => Ok(revision),
        TxnReply::Failed { mut current, .. } => Err(current.pop().expect("one guard, one state")),
    }
}

async fn value(store: &Shared, key: &str, at: Option<Revision>) -> Option<String> {
    text(store.get(key.as_bytes(), at).await.expect("get").0.as_ref())
}

fn text(found: Option<&KeyValue>) -> Option<String> {
    found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

async fn next(events: &mut WatchStream) -> WatchBatch {
    events.next().await.expect("the watch goes on").expect("no error")
}

/// The next `count` events, in however many batches, of which none is empty by accident.
async fn take(mut events: WatchStream, count: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next(&mut events).await.events);
    }
    assert_eq!(taken.len(), count);
    taken
}

fn assert_compacted<T>(result: crate::types::Result<T>, at: Revision, first: Revision) {
    match result {
        Err(StoreError::Compacted { asked, oldest }) => assert_eq!((asked, oldest), (at, first)),
        Err(other) => panic!("expected a compaction error, got {other}"),
        Ok(_) => panic!("expected a compaction error"),
    }
}
