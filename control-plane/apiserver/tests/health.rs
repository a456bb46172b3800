//! When a server says that it is well: a store that fails, an address that Endpoints may not hold, and the end.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{TestServer, eventually, start_on, start_with};
use http::Method;
use oarlock_store::{
    KeyValue, LeaseId, ListOptions, Listing, MemoryStore, Result, Revision, Store, StoreError, Txn, TxnReply,
    WatchStream,
};
use serde_json::json;

/// A store that can be told to read nothing any more.
#[derive(Default)]
struct Sick {
    store: MemoryStore,
    sick: AtomicBool,
}

#[async_trait]
impl Store for Sick {
    async fn revision(&self) -> Result<Revision> {
        self.store.revision().await
    }
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        if self.sick.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("no member answers".into()));
        }
        self.store.get(key, at).await
    }
    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        self.store.list(prefix, options).await
    }
    async fn transact(&self, txn: Txn) -> Result<TxnReply> {
        self.store.transact(txn).await
    }
    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        self.store.watch(prefix, after).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.store.grant(ttl).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.store.revoke(lease).await
    }
    async fn compact(&self, through: Revision) -> Result<()> {
        self.store.compact(through).await
    }
    async fn snapshot(&self, to: &Path) -> Result<Revision> {
        self.store.snapshot(to).await
    }
}

async fn told(server: &TestServer, path: &str) -> (u16, String) {
    let answer = server.raw(Method::GET, path, &[], Vec::new()).await;
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_and_why_only_to_who_may_ask() {
    let store = Arc::new(Sick::default());
    let server = start_on(store.clone()).await;
    store.sick.store(true, Ordering::Relaxed);
    for root in ["livez", "readyz", "healthz"] {
        let said = eventually("it is sick", async || {
            let (code, said) = told(&server, &format!("/{root}")).await;
            (code == 500).then_some(said)
        })
        .await;
        assert!(said.starts_with("[+]ping ok\n[+]log ok\n"), "{said}");
        assert!(said.contains("\n[-]etcd failed: reason withheld\n"), "{said}");
        assert!(said.ends_with(&format!("\n{root} check failed\n")), "{said}");
    }
    let (code, why) = told(&server, "/livez/etcd").await;
    assert!(code == 500 && why.starts_with("internal server error: ") && why.contains("no member"), "{why}");
    assert_eq!(told(&server, "/livez?exclude=etcd").await, (200, "ok".into()));
    for (path, sniffed) in [("/livez/ping", false), ("/livez/etcd", true), ("/livez?exclude=etcd", true)] {
        let answer = server.raw(Method::GET, path, &[], Vec::new()).await;
        assert_eq!(answer.headers().contains_key("x-content-type-options"), sniffed, "{path}");
    }
    let stranger = server.over_tls(None, Method::GET, "/livez/etcd", &[], vec![]).await;
    assert!(!stranger.status().is_success(), "strangers may not ask why");
    store.sick.store(false, Ordering::Relaxed);
    eventually("it is well", async || (told(&server, "/readyz").await.0 == 200).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_on_a_loopback_address_serves_all_the_same() {
    let loopback = "127.0.0.1".parse().expect("an address");
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| config.advertise = loopback).await;
    assert_eq!(told(&server, "/readyz").await, (200, "ok".into()));
    let default = "/api/v1/namespaces/default";
    assert_eq!(server.get(&format!("{default}/services/kubernetes")).await.0, 200);
    let (code, none) = server.get(&format!("{default}/endpoints/kubernetes")).await;
    assert_eq!(code, 404, "Endpoints hold no loopback addresses: {none}");
    // The Service is kept, though what stands behind it cannot be.
    let (code, _) = server.ask(Method::DELETE, &format!("{default}/services/kubernetes"), json!(null)).await;
    assert_eq!(code, 200);
    eventually("it is there again", async || {
        (server.get(&format!("{default}/services/kubernetes")).await.0 == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_is_well_but_not_ready() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.running.shutdown_delay = Duration::from_secs(2);
    })
    .await;
    assert_eq!(told(&server, "/readyz/shutdown").await, (200, "ok".into()));
    server.begin_stop();
    // The connection of before ends with the server's user.
    let admin = Some(("admin", "system:masters"));
    let told = async |path: &str| {
        let answer = server.over_tls(admin, Method::GET, path, &[], vec![]).await;
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    };
    eventually("it is not ready", async || (told("/readyz").await.0 == 500).then_some(())).await;
    let (code, why) = told("/readyz/shutdown").await;
    assert_eq!((code, &*why), (500, "internal server error: process is shutting down\n"));
    for path in ["/livez", "/healthz"] {
        assert_eq!(told(path).await, (200, "ok".into()), "{path}");
    }
    server.stop().await;
}
