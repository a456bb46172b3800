//! The etcd backend on real etcd.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Cluster, Setup, clear, connect};
use futures::StreamExt;
use oarlock_store::{ListOptions, Op, Revision, Store, StoreError, Txn, TxnReply, contract, etcd};

async fn put(
    store: &dyn Store,
    key: &str,
    value: impl Into<bytes::Bytes>,
) -> oarlock_store::Result<Revision> {
    let op = Op::Put { key: key.to_owned().into(), value: value.into(), lease: None };
    match store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await? {
        TxnReply::Done { revision } => Ok(revision),
        TxnReply::Failed { .. } => panic!("there is no guard"),
    }
}

async fn contract_with(trust_progress: Option<bool>) {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let store = connect(etcd::Config { trust_progress, ..cluster.config() }).await;
    contract::run(|| async {
        clear(&*store).await;
        store.clone() as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    contract_with(None).await;
}

/// Whatever the version of this etcd: its progress reports work, they are only not ordered well in old versions.
#[tokio::test]
async fn etcd_keeps_the_contract_with_progress_requests() {
    contract_with(Some(true)).await;
}

#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    let Some(binary) = common::binary() else { return };
    let pki = tempfile::tempdir().expect("folder");
    let at = |name: &str| pki.path().join(name);
    let ca =
        oarlock_pki::Authority::load_or_create(&at("ca.crt"), &at("ca.key"), "etcd-ca").expect("authority");
    let other =
        oarlock_pki::Authority::load_or_create(&at("x.crt"), &at("x.key"), "other").expect("authority");
    let names = vec![oarlock_pki::SubjectName::Ip([127, 0, 0, 1].into())];
    let mut server = oarlock_pki::Profile::server("etcd", names);
    // etcd speaks to itself with its server certificate.
    server.client = true;
    ca.identity(&at("server.crt"), &at("server.key"), &server).expect("server");
    let client = oarlock_pki::Profile::client("root", "masters");
    ca.identity(&at("client.crt"), &at("client.key"), &client).expect("client");
    other.identity(&at("stranger.crt"), &at("stranger.key"), &client).expect("stranger");
    let flag = |name: &str, file: &str| [name.to_owned(), at(file).to_string_lossy().into_owned()];
    let further = [
        flag("--cert-file", "server.crt"),
        flag("--key-file", "server.key"),
        flag("--trusted-ca-file", "ca.crt"),
    ];
    let mut further = further.concat();
    further.push("--client-cert-auth".into());
    let cluster = Cluster::start(&binary, Setup { members: 1, further, tls: true });
    let config = |ca: &str, identity: Option<&str>| etcd::Config {
        ca: Some(at(ca)),
        cert: identity.map(|name| at(&format!("{name}.crt"))),
        key: identity.map(|name| at(&format!("{name}.key"))),
        request_timeout: Duration::from_secs(5),
        ..cluster.config()
    };
    let store = connect(config("ca.crt", Some("client"))).await;
    let revision = put(&*store, "/registry/a", "1").await.expect("let in");
    let mut watch = store.watch(b"/registry/", Revision(0)).await.expect("watch");
    assert_eq!(watch.next().await.expect("goes on").expect("an event").revision, revision);
    for (why, config) in [
        ("no certificate", config("ca.crt", None)),
        ("a stranger's certificate", config("ca.crt", Some("stranger"))),
        ("an authority that did not sign the server's", config("x.crt", Some("client"))),
    ] {
        let config = etcd::Config { request_timeout: Duration::from_millis(500), ..config };
        let store = etcd::connect(config, &oarlock_base::Shutdown::new()).expect("sound");
        let refused = store.revision().await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{why}: {refused:?}");
    }
    let missing = etcd::connect(config("absent.crt", None), &oarlock_base::Shutdown::new());
    assert!(matches!(missing.err(), Some(StoreError::Backend { .. })));
}

#[tokio::test]
async fn faults_of_the_configuration_are_told_at_once() {
    let check = |endpoints: &[&str], want: &str| {
        let endpoints = endpoints.iter().map(|e| (*e).to_owned()).collect();
        let config = etcd::Config { endpoints, ..etcd::Config::default() };
        let error = etcd::connect(config, &oarlock_base::Shutdown::new()).err().expect(want).to_string();
        assert!(error.contains(want), "{error}");
    };
    check(&[], "no etcd endpoint");
    check(&["https://127.0.0.1:1"], "--etcd-cafile");
    check(&["ftp://127.0.0.1:1"], "neither http nor https");
}

#[tokio::test]
async fn another_prefix_keeps_clusters_apart() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let one = cluster.connect().await;
    let two = connect(etcd::Config { prefix: "/two".into(), ..cluster.config() }).await;
    let mut watch = two.watch(b"/registry/", Revision(0)).await.expect("watch");
    put(&*one, "/registry/a", "one").await.expect("put");
    let second = put(&*two, "/registry/a", "two").await.expect("put");
    let batch = watch.next().await.expect("goes on").expect("an event");
    assert_eq!((batch.revision, &batch.events[0].now.key[..]), (second, &b"/registry/a"[..]));
    assert_eq!(two.get(b"/registry/a", None).await.expect("get").0.expect("there").value, "two");
    let all = two.list(b"/registry/", ListOptions::default()).await.expect("list");
    assert_eq!(all.items.len(), 1);
    assert_eq!(one.get(b"/two/a", None).await.expect("get").0.expect("there").value, "two");
}

#[tokio::test]
async fn long_lists_come_in_pages_of_one_revision() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let store = cluster.connect().await;
    let keys: Vec<String> = (0..5000).map(|i| format!("/registry/pods/p/{i:05}")).collect();
    for keys in keys.chunks(100) {
        let set = |key: &String| Op::Put { key: key.clone().into(), value: "1".into(), lease: None };
        store.transact(Txn { guards: Vec::new(), ops: keys.iter().map(set).collect() }).await.expect("put");
    }
    let listing = store.list(b"/registry/pods/", ListOptions::default()).await.expect("list");
    let found: Vec<_> =
        listing.items.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
    assert_eq!((found, listing.remaining), (keys, 0));
    let limit = ListOptions { limit: Some(4500), ..ListOptions::default() };
    let listing = store.list(b"/registry/", limit).await.expect("list");
    assert_eq!((listing.items.len(), listing.remaining), (4500, 500));
    let none = ListOptions { limit: Some(0), ..ListOptions::default() };
    let listing = store.list(b"/registry/", none).await.expect("list");
    assert_eq!((listing.items.len(), listing.remaining), (0, 5000));
}

#[tokio::test]
async fn a_full_member_refuses_writes_as_a_full_disk_does() {
    let Some(binary) = common::binary() else { return };
    let further = vec!["--quota-backend-bytes".into(), (16 << 20).to_string()];
    let cluster = Cluster::start(&binary, Setup { members: 1, further, tls: false });
    let store = cluster.connect().await;
    let refused = loop {
        if let Err(refused) = put(&*store, "/registry/big", vec![b'x'; 1 << 20]).await {
            break refused;
        }
    };
    assert!(matches!(refused, StoreError::DiskFull), "{refused}");
    assert!(store.health().await.expect("reads go on").no_space);
    let read = store.get(b"/registry/big", None).await.expect("reads go on");
    assert_eq!(read.0.expect("there").value.len(), 1 << 20);
}

#[tokio::test]
async fn a_compaction_ends_the_watches_that_need_the_past() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let store = cluster.connect().await;
    let first = put(&*store, "/registry/a", "1").await.expect("put");
    let second = put(&*store, "/registry/a", "2").await.expect("put");
    put(&*store, "/registry/a", "3").await.expect("put");
    store.compact(second).await.expect("compact");
    // A second connection knows nothing of the compaction.
    let other = cluster.connect().await;
    let refused = other.watch(b"/registry/", Revision(first.0 - 1)).await.err().expect("compacted");
    assert!(
        matches!(refused, StoreError::Compacted { asked, oldest } if asked.0 == first.0 - 1 && oldest == second),
        "{refused}"
    );
}

#[tokio::test]
async fn several_servers_compact_together() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let every = Some(Duration::from_millis(200));
    let config = || etcd::Config { compaction_interval: every, ..cluster.config() };
    let (one, _two) = (connect(config()).await, connect(config()).await);
    let first = put(&*one, "/registry/a", "1").await.expect("put");
    let error = loop {
        put(&*one, "/registry/a", "2").await.expect("put");
        if let Err(error) = one.get(b"/registry/a", Some(first)).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
    assert_eq!(one.get(b"/registry/a", None).await.expect("get").0.expect("there").value, "2");
    let (turns, _) = one.get(b"compact_rev_key", None).await.expect("get");
    let turns = turns.expect("upstream's key");
    let compacted: u64 =
        String::from_utf8_lossy(&turns.value).parse().expect("a decimal revision, as upstream's");
    assert!(compacted >= first.0);
}

#[tokio::test]
async fn a_snapshot_is_etcds_own() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let store = cluster.connect().await;
    let revision = put(&*store, "/registry/a", "1").await.expect("put");
    let file = cluster.folder.path().join("snapshot.db");
    let taken = store.snapshot(&file).await.expect("its digest agrees");
    assert!(taken >= revision);
    assert!(std::fs::metadata(&file).expect("a file").len() > 4096);
    assert!(store.snapshot(&file).await.is_err(), "a snapshot overwrites nothing");
    let members = store.members().await;
    let status = members[0].1.as_ref().expect("it answers");
    assert!(status.leader && status.revision >= revision && status.size_bytes > 0, "{status:?}");
    store.defragment().await.expect("defragment");
}

#[tokio::test]
async fn closing_ends_watches() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::single(&binary);
    let store = cluster.connect().await;
    let mut watch = store.watch(b"/registry/", Revision(0)).await.expect("watch");
    store.close().await;
    let end = watch.next().await.expect("the reason");
    assert!(matches!(end, Err(StoreError::Unavailable(_))), "{end:?}");
    assert!(store.revision().await.is_err());
}

#[tokio::test]
async fn a_frozen_member_is_left_behind() {
    let Some(binary) = common::binary() else { return };
    let cluster = Cluster::start(&binary, Setup { members: 3, ..Setup::default() });
    let store = connect(common::impatient(cluster.config())).await;
    let mut watch = store.watch(b"/registry/", Revision(0)).await.expect("watch");
    let first = put(&*store, "/registry/a", "1").await.expect("put");
    while watch.next().await.expect("goes on").expect("no error").revision < first {}
    // Calls stay with a member as long as it answers.
    let member = cluster.members.iter().find(|m| m.endpoint == store.endpoint()).expect("one of them");
    member.freeze(true);
    let lost = put(&*store, "/registry/b", "1").await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "nobody knows what became of it: {lost:?}");
    let second = put(&*store, "/registry/c", "1").await.expect("another member takes it");
    assert!(store.revision().await.expect("reads go on") >= second);
    let mut reached = first;
    while reached < second {
        let batch = watch.next().await.expect("goes on").expect("it has moved");
        assert!(batch.revision > reached, "{} after {reached}", batch.revision);
        reached = batch.revision;
    }
    assert_ne!(store.endpoint(), member.endpoint);
    member.freeze(false);
}
