//! The contract suite on both backends, and what only the embedded one promises.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use oarlock_store::{
    EmbeddedOptions, ListOptions, MemoryStore, Op, Revision, Store, StoreError, Txn, TxnReply, contract,
    open_embedded,
};

fn open(path: &Path) -> Arc<dyn Store> {
    open_embedded(path, EmbeddedOptions::default()).expect("open")
}

async fn put(store: &dyn Store, key: &str, value: Vec<u8>) -> oarlock_store::Result<Revision> {
    let op = Op::Put { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into(), lease: None };
    match store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await? {
        TxnReply::Done { revision } => Ok(revision),
        TxnReply::Failed { .. } => panic!("there is no guard"),
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
}

#[tokio::test]
async fn embedded_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("folder");
    let count = AtomicU64::new(0);
    contract::run(|| async {
        let name = count.fetch_add(1, Ordering::Relaxed).to_string();
        open(&folder.path().join(name))
    })
    .await;
}

#[tokio::test]
async fn embedded_survives_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    contract::survives_reopening(|| async { open(&path) }).await;
}

#[tokio::test]
async fn snapshots_open_as_stores() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, store) in [
        ("embedded", open(&folder.path().join("store"))),
        ("memory", Arc::new(MemoryStore::new()) as Arc<dyn Store>),
    ] {
        let copy = folder.path().join(name);
        contract::snapshots(store, &copy, || async { open(&copy) }).await;
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_with_a_clear_error() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let first = open(&path);
    let error = open_embedded(&path, EmbeddedOptions::default()).err().expect("in use").to_string();
    assert!(error.contains("is in use by another process"), "{error}");
    drop(first);
    open(&path);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    let folder = tempfile::tempdir().expect("folder");
    let options = EmbeddedOptions::default();
    let quota = options.quota_bytes.clone();
    let path = folder.path().join("store");
    let store = open_embedded(&path, options).expect("open");
    let before = put(&*store, "/first", vec![1; 1000]).await.expect("room");
    quota.store(0, Ordering::Relaxed);
    let mut written = Vec::new();
    let refused = loop {
        let key = format!("/{}", written.len());
        match put(&*store, &key, vec![2; 300_000]).await {
            Ok(revision) => written.push((key, revision)),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull), "{refused}");
    let newest = written.last().map_or(before, |(_, revision)| *revision);
    assert_eq!(store.revision().await.expect("reads go on"), newest);
    let listing = store.list(b"/", ListOptions::default()).await.expect("reads go on");
    assert_eq!(listing.items.len(), written.len() + 1);
    assert!(matches!(put(&*store, "/more", vec![2; 400_000]).await, Err(StoreError::DiskFull)));
    quota.store(u64::MAX, Ordering::Relaxed);
    let after = put(&*store, "/more", vec![2; 400_000]).await.expect("there is room again");
    assert_eq!(after.0, newest.0 + 1);
    drop(store);
    let listing = open(&path).list(b"/", ListOptions::default()).await.expect("list");
    assert_eq!(listing.items.len(), written.len() + 2);
}

#[tokio::test]
async fn closing_ends_watches_and_refuses_writes() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_embedded(&folder.path().join("store"), EmbeddedOptions::default()).expect("open");
    let mut watch = store.watch(b"/", Revision(0)).await.expect("watch");
    assert!(watch.next().await.expect("progress").expect("progress").events.is_empty());
    store.close();
    let end = watch.next().await.expect("the reason");
    assert!(matches!(end, Err(StoreError::Unavailable(_))), "{end:?}");
    assert!(watch.next().await.is_none());
    assert!(matches!(put(&*store, "/a", vec![1]).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_slow_watcher_holds_up_nobody_and_misses_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    for store in [open(&folder.path().join("store")), Arc::new(MemoryStore::new()) as Arc<dyn Store>] {
        let mut watch = store.watch(b"/", Revision(0)).await.expect("watch");
        // More than any queue holds, several times.
        for i in 0..100_u32 {
            let op = |j: u32| Op::Put {
                key: format!("/{j}").into(),
                value: i.to_be_bytes().to_vec().into(),
                lease: None,
            };
            let writes = (0..100).map(|j| store.transact(Txn { guards: Vec::new(), ops: vec![op(j)] }));
            futures::future::join_all(writes).await.into_iter().for_each(|done| drop(done.expect("put")));
        }
        let mut reached = 0;
        while reached < 10_000 {
            let batch = watch.next().await.expect("goes on").expect("it is not cut off");
            assert!(
                batch.events.is_empty() || batch.revision.0 == reached + 1,
                "{} after {reached}",
                batch.revision
            );
            reached = batch.revision.0;
        }
    }
}

#[tokio::test]
async fn a_watcher_that_slept_through_a_compaction_is_told() {
    let store = MemoryStore::new();
    let mut watch = store.watch(b"/", Revision(0)).await.expect("watch");
    let mut newest = Revision(0);
    for i in 0..6000_u32 {
        newest = put(&store, "/k", i.to_be_bytes().to_vec()).await.expect("put");
    }
    store.compact(newest).await.expect("compact");
    let mut reached = 0;
    let end = loop {
        match watch.next().await.expect("an end with a reason") {
            Ok(batch) => reached = batch.revision.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, StoreError::Compacted { asked, .. } if asked.0 == reached), "{end}");
}

#[tokio::test]
async fn history_is_compacted_by_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let options =
        EmbeddedOptions { keep_history: Some(Duration::from_millis(5)), ..EmbeddedOptions::default() };
    let path = folder.path().join("store");
    let store = open_embedded(&path, options).expect("open");
    let first = put(&*store, "/k", vec![1]).await.expect("put");
    let error = loop {
        put(&*store, "/k", vec![2]).await.expect("put");
        if let Err(error) = store.get(b"/k", Some(first)).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
    assert_eq!(store.get(b"/k", None).await.expect("get").0.expect("there").value, vec![2]);
}
