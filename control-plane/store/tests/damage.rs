//! A file that something else has changed: every call ends with an answer or an error, and none with a panic.

use std::path::Path;

use oarlock_store::{
    EmbeddedOptions, ListOptions, Op, Store, StoreError, Txn, check_embedded, open_embedded,
};

const PAGE: usize = 4096;

async fn put(store: &dyn Store, key: String, size: usize) -> Result<(), StoreError> {
    let op = Op::Put { key: key.into(), value: vec![7; size].into(), lease: None };
    store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await.map(drop)
}

/// Uses all of a damaged file; whether anything was found.
async fn use_all(path: &Path) -> bool {
    let Ok(store) = open_embedded(path, EmbeddedOptions::default()) else { return true };
    let mut found = false;
    let mut looked = |failure: StoreError| {
        let told = format!("{failure:?}");
        // What a caller hears of a thread that is gone.
        assert!(!told.contains("JoinError") && !told.contains("closed"), "{told}");
        found = true;
    };
    for _ in 0..2 {
        let _ = store.list(b"/", ListOptions::default()).await.map_err(&mut looked);
        // The writer takes it up again, whatever came of the last write.
        let _ = put(&*store, "/new".into(), 10).await.map_err(&mut looked);
    }
    let _ = store.inspect().await.map_err(&mut looked);
    found
}

#[tokio::test]
async fn a_damaged_file_is_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let store = open_embedded(&path, EmbeddedOptions::default()).expect("open");
    for i in 0..120 {
        put(&*store, format!("/key/{i}"), 50 + i * 5).await.expect("write");
    }
    store.close();
    drop(store);
    let sound = std::fs::read(&path).expect("read");
    let copy = folder.path().join("copy");
    let (mut found, mut pages) = (0, 0);
    for page in (PAGE..sound.len()).step_by(PAGE) {
        if sound[page..page + PAGE].iter().all(|byte| *byte == 0) {
            continue;
        }
        // What kind of page it is, and how much is in it.
        let mut damaged = sound.clone();
        damaged[page..page + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&copy, &damaged).expect("write");
        let checked = check_embedded(&copy).map(|report| report.faults.is_empty() && !report.repaired);
        std::fs::write(&copy, &damaged).expect("write");
        pages += 1;
        found += usize::from(use_all(&copy).await || !checked.unwrap_or(false));
    }
    assert!(pages > 10 && found * 3 > pages, "{found} of {pages} damaged pages were noticed");
}
