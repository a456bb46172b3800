//! What operators do to a store: checks, defragmentation, backup, restore, migration.

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::Cluster;
use futures::StreamExt;
use oarlock_store::migrate::{Datastore, MigrateError, migrate};
use oarlock_store::{
    Embedded, EmbeddedOptions, ListOptions, Op, Restore, Revision, Store, StoreError, Txn, TxnReply,
    ask_embedded, check_embedded, defragment_embedded, open_embedded, restore_embedded,
};

fn open(path: &Path) -> Arc<Embedded> {
    open_embedded(path, EmbeddedOptions { keep_history: None, ..EmbeddedOptions::default() }).expect("open")
}

async fn put(store: &dyn Store, key: &str, value: Vec<u8>) -> Revision {
    put_leased(store, key, value, None).await
}

async fn put_leased(
    store: &dyn Store,
    key: &str,
    value: Vec<u8>,
    lease: Option<oarlock_store::LeaseId>,
) -> Revision {
    let op = Op::Put { key: key.to_owned().into(), value: value.into(), lease };
    match store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await.expect("put") {
        TxnReply::Done { revision } => revision,
        TxnReply::Failed { .. } => panic!("there is no guard"),
    }
}

/// Keys with a past, some of them gone, one with a lease.
async fn fill(store: &dyn Store) -> Revision {
    for i in 0..200_u32 {
        put(store, &format!("/registry/pods/a/{i}"), vec![i as u8; 5000]).await;
    }
    for i in 0..200_u32 {
        put(store, &format!("/registry/pods/a/{i}"), vec![i as u8; 300]).await;
    }
    let ops = (0..100).map(|i| Op::Delete { key: format!("/registry/pods/a/{}", i * 2).into() }).collect();
    store.transact(Txn { guards: Vec::new(), ops }).await.expect("delete");
    let lease = store.grant(Duration::from_secs(3000)).await.expect("grant");
    put_leased(store, "/registry/events/a/x", b"event".to_vec(), Some(lease)).await
}

#[tokio::test]
async fn a_check_finds_nothing_in_a_sound_store_and_defragmentation_shrinks_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let store = open(&path);
    let newest = fill(&*store).await;
    let report = store.inspect().await.expect("inspect");
    assert_eq!((report.faults, report.facts.keys, report.facts.leases), (vec![], 101, 1));
    assert_eq!((report.facts.revision, report.facts.versions), (newest, 501));
    store.compact(newest).await.expect("compact");
    // Space is given back in steps, after writes; defragmentation comes in between here and must not harm.
    put(&*store, "/registry/z", vec![1]).await;
    let (before, after) = store.defragment().await.expect("defragment");
    assert!(after < before / 2, "{before} → {after}");
    put(&*store, "/registry/z", vec![2]).await;
    let listing = store.list(b"/registry/", ListOptions::default()).await.expect("list");
    assert_eq!(listing.items.len(), 102);
    store.close();
    let report = check_embedded(&path).expect("check");
    assert_eq!((report.faults, report.repaired, report.facts.keys), (vec![], false, 102));
    assert!(report.facts.file_bytes >= report.facts.used_bytes);
    let (before, after) = defragment_embedded(&path).expect("defragment");
    assert!(after <= before);
    assert_eq!(open(&path).list(b"/registry/", ListOptions::default()).await.expect("list").items, {
        let mut items = listing.items;
        items.last_mut().expect("z is the last").value = vec![2].into();
        let last = items.last_mut().expect("z is the last");
        last.mod_revision = Revision(newest.0 + 2);
        items
    });
}

#[tokio::test]
async fn a_check_finds_a_flipped_byte() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let store = open(&path);
    fill(&*store).await;
    put(&*store, "/registry/needle", b"find-this-very-needle".to_vec()).await;
    drop(store);
    let content = std::fs::read(&path).expect("read");
    let needle = b"find-this-very-needle";
    let places: Vec<usize> =
        content.windows(needle.len()).enumerate().filter(|(_, w)| w == needle).map(|(at, _)| at).collect();
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
    for at in places {
        file.write_all_at(b"F", at as u64).expect("write");
    }
    // redb either refuses the file or goes back to a state whose checksums hold; it never passes unnoticed.
    match check_embedded(&path) {
        Err(failure) => assert!(matches!(failure, StoreError::Backend { .. }), "{failure}"),
        Ok(report) => assert!(report.repaired || !report.faults.is_empty(), "{report:?}"),
    }
}

#[tokio::test]
async fn a_restored_store_is_ahead_of_what_any_client_saw() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, backup) = (folder.path().join("store"), folder.path().join("backup"));
    let store = open(&path);
    fill(&*store).await;
    let taken = store.snapshot(&backup).await.expect("backup");
    let seen = put(&*store, "/registry/later", vec![1]).await;
    let how = Restore { bump_revision: 1000, force: false };
    assert!(restore_embedded(&backup, &path, how).is_err(), "there is a store");
    let in_use = restore_embedded(&backup, &path, Restore { force: true, ..how }).expect_err("it is open");
    assert!(in_use.to_string().contains("in use"), "{in_use}");
    drop(store);
    let (revision, old) = restore_embedded(&backup, &path, Restore { force: true, ..how }).expect("restore");
    assert_eq!(revision.0, taken.0 + 1000);
    assert!(revision > seen && old.as_ref().is_some_and(|old| old.exists()));
    let store = open(&path);
    assert_eq!(store.revision().await.expect("revision"), revision);
    assert!(store.get(b"/registry/later", None).await.expect("get").0.is_none());
    let relist = store.watch(b"/registry/", seen).await.err().expect("what came after is not known any more");
    assert!(matches!(relist, StoreError::Compacted { .. }), "{relist}");
    let mut watch = store.watch(b"/registry/", revision).await.expect("watch");
    let next = put(&*store, "/registry/next", vec![1]).await;
    let batch = loop {
        let batch = watch.next().await.expect("goes on").expect("no error");
        if !batch.events.is_empty() {
            break batch;
        }
    };
    assert_eq!((batch.revision, next.0), (next, revision.0 + 1));
    drop((watch, store));
    assert_eq!(check_embedded(&path).expect("check").faults, Vec::<String>::new());
    assert!(restore_embedded(&folder.path().join("absent"), &path, Restore { force: true, ..how }).is_err());
    assert!(path.exists(), "a failed restore leaves the store alone");
}

#[tokio::test]
async fn an_operator_reaches_a_store_that_serves() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let options =
        EmbeddedOptions { control: Some(at("sock")), keep_history: None, ..EmbeddedOptions::default() };
    let store = open_embedded(&at("store"), options).expect("open");
    let newest = fill(&*store).await;
    let ask = |request: String| {
        let socket = at("sock");
        async move {
            let asked =
                tokio::task::spawn_blocking(move || ask_embedded(&socket, &request)).await.expect("no panic");
            asked.expect("a connection").expect("somebody listens")
        }
    };
    let status = ask("status".into()).await.expect("status");
    assert!(status.contains(&("revision".into(), newest.to_string())), "{status:?}");
    assert!(status.contains(&("keys".into(), "101".into())), "{status:?}");
    let backup = ask(format!("backup {}", at("copy").display())).await.expect("backup");
    assert_eq!(backup, [("revision".to_owned(), newest.to_string())]);
    assert_eq!(check_embedded(&at("copy")).expect("check").facts.keys, 101);
    ask("compact now".into()).await.expect("compact");
    assert!(store.get(b"/registry/pods/a/1", Some(Revision(1))).await.is_err());
    ask("defrag".into()).await.expect("defrag");
    assert!(ask("check".into()).await.expect("check").iter().all(|(name, _)| name != "fault"));
    for wrong in ["nonsense", "backup relative", "compact never", "compact 99999999"] {
        assert!(ask(wrong.into()).await.is_err(), "{wrong}");
    }
    drop(store);
    assert!(ask_embedded(&at("sock"), "status").expect("no failure").is_none(), "nobody listens any more");
}

#[tokio::test]
async fn a_full_file_system_refuses_writes_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("store");
    let mounted = nix::mount::mount(
        Some("oarlock-test"),
        folder.path(),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("size=8m"),
    );
    if let Err(refused) = mounted {
        println!("not run: this takes a mount: {refused}");
        return;
    }
    let outcome = full_file_system(&path).await;
    nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).expect("unmount");
    outcome.expect("as promised");
}

async fn full_file_system(path: &Path) -> Result<(), String> {
    let say = |failure: StoreError| failure.to_string();
    let store = open_embedded(path, EmbeddedOptions::default()).map_err(say)?;
    let op = |i: u32| Op::Put {
        key: format!("/registry/{i}").into(),
        value: vec![i as u8; 100_000].into(),
        lease: None,
    };
    let txn = |i: u32| Txn { guards: Vec::new(), ops: vec![op(i)] };
    let mut written = 0;
    let refused = loop {
        match store.transact(txn(written)).await {
            Ok(_) => written += 1,
            Err(failure) => break failure,
        }
    };
    if !matches!(refused, StoreError::DiskFull) || written == 0 {
        return Err(format!("{written} written, then {refused}"));
    }
    let listing = store.list(b"/registry/", ListOptions::default()).await.map_err(say)?;
    if listing.items.len() as u32 != written {
        return Err(format!("{} of {written} are there", listing.items.len()));
    }
    nix::mount::mount(
        None::<&str>,
        path.parent().expect("a folder"),
        None::<&str>,
        nix::mount::MsFlags::MS_REMOUNT,
        Some("size=64m"),
    )
    .map_err(|e| e.to_string())?;
    store.transact(txn(written)).await.map_err(say)?;
    store.close();
    let report = check_embedded(path).map_err(say)?;
    if report.faults.is_empty() && report.facts.keys == u64::from(written) + 1 {
        Ok(())
    } else {
        Err(format!("{report:?}"))
    }
}

#[tokio::test]
async fn a_cluster_moves_to_etcd_and_back() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let etcd = cluster.connect().await;
    let folder = tempfile::tempdir().expect("folder");
    let source = open(&folder.path().join("source"));
    fill(&*source).await;
    put(&*source, "/registry/secrets/a/s", b"k8s:enc:aescbc:v1:key1:\x00\xff\x80".to_vec()).await;
    let (from, to) = (Datastore::Embedded(source.clone()), Datastore::Etcd(etcd.clone()));
    let empty = migrate(&to, &from, true, |_| ()).await.expect_err("nothing is there to move");
    assert!(matches!(empty, MigrateError::Empty), "{empty}");
    let mut told = 0;
    let moved = migrate(&from, &to, false, |count| told += count).await.expect("it moves");
    assert_eq!((moved.digest.keys, moved.leases, told), (102, 1, 102));
    let event = etcd.get(b"/registry/events/a/x", None).await.expect("get").0.expect("there");
    let left = etcd.remaining(event.lease.expect("leased")).await.expect("asked").expect("it runs");
    assert!(left > Duration::from_secs(2900) && left <= Duration::from_secs(3000), "{left:?}");

    let refused = migrate(&from, &to, false, |_| ()).await.expect_err("it is not empty");
    assert!(matches!(refused, MigrateError::NotEmpty { .. }), "{refused}");
    put(&*etcd, "/registry/stray", vec![1]).await;
    let moved = migrate(&from, &to, true, |_| ()).await.expect("forced");
    assert_eq!((moved.digest.keys, moved.removed), (102, 1));

    let back = open(&folder.path().join("back"));
    let returned =
        migrate(&to, &Datastore::Embedded(back.clone()), false, |_| ()).await.expect("it moves back");
    assert_eq!(returned.digest, moved.digest);
    let event = back.get(b"/registry/events/a/x", None).await.expect("get").0.expect("there");
    let left = back.remaining(event.lease.expect("leased")).expect("it runs");
    assert!(left > Duration::from_secs(2900), "{left:?}");
}
