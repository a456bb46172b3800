//! etcd v3 as a backend: several members, TLS with client certificates, failover.
//!
//! `connection` calls, `watch` keeps all watches on one stream, `revision` answers the many who ask for the newest
//! revision with one question, `compactor` takes turns with other API servers. `wire` has the messages.

mod admin;
mod compactor;
mod connection;
mod errors;
mod keys;
mod progress;
mod revision;
mod split;
mod store;
mod watch;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use oarlock_base::{Shutdown, Tasks};
use parking_lot::Mutex;

pub use admin::{Health, MemberStatus};
pub use connection::Resolver;

use crate::types::{Result, Revision, StoreError};
use connection::{Connection, Kind};
use errors::Refusal;
use keys::Keys;
use progress::Way;
use revision::Revisions;
use watch::{Mux, Watches};
use wire::{CompactionRequest, HeaderOnly, PutRequest, PutResponse, RangeRequest, RangeResponse};

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";
const COMPACT: &str = "/etcdserverpb.KV/Compact";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// Where etcd is, and how to speak with it.
#[derive(Clone)]
pub struct Config {
    /// `https://10.0.0.1:2379`, all members of one cluster.
    pub endpoints: Vec<String>,
    /// The authority that signed the members' certificates; needed for https. Files are read anew for each connection.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// What stands in for `/registry` in etcd.
    pub prefix: String,
    /// Compact together with the other API servers every so often; `None` leaves it to others.
    pub compaction_interval: Option<Duration>,
    /// One call, with all its tries.
    pub request_timeout: Duration,
    /// For endpoints that are neither addresses nor `localhost`.
    pub resolver: Option<Resolver>,
    /// Trust (or not) the progress that members report, whatever their version.
    pub trust_progress: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            ca: None,
            cert: None,
            key: None,
            prefix: "/registry".into(),
            compaction_interval: Some(Duration::from_secs(300)),
            request_timeout: Duration::from_secs(10),
            resolver: None,
            trust_progress: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A store in etcd.
pub struct Etcd {
    shared: Arc<Shared>,
    revisions: Revisions,
    watches: Watches,
    tasks: Mutex<Option<Tasks>>,
}

struct Shared {
    connection: Connection,
    keys: Keys,
    forced_way: Option<Way>,
    /// The newest revision that anybody was told: watches report progress up to it.
    wanted: tokio::sync::watch::Sender<Revision>,
    /// The last compaction that we know of.
    compacted: AtomicU64,
}

/// Connects when first used; fails only for what can be known without a connection. Its tasks end with `stop`, with
/// [`Etcd::close`], or when it is dropped.
pub fn connect(config: Config, stop: &Shutdown) -> Result<Arc<Etcd>> {
    let shared = Arc::new(Shared {
        connection: Connection::new(&config)?,
        keys: Keys::new(&config.prefix),
        forced_way: config.trust_progress.map(|trust| if trust { Way::Request } else { Way::Write }),
        wanted: tokio::sync::watch::Sender::new(Revision(0)),
        compacted: AtomicU64::new(0),
    });
    let (revisions, questions) = Revisions::new();
    let (watches, asks) = Watches::new();
    let mut tasks = Tasks::new("etcd", stop);
    tasks.spawn("revision", |stop| revision::run(shared.clone(), questions, stop));
    let mux = Mux::new(shared.clone(), asks, shared.wanted.subscribe(), tasks.spawner());
    tasks.spawn("watches", |stop| mux.run(stop));
    if let Some(every) = config.compaction_interval.filter(|every| !every.is_zero()) {
        tasks.spawn("compactor", |stop| compactor::run(shared.clone(), every, stop));
    }
    Ok(Arc::new(Etcd { shared, revisions, watches, tasks: Mutex::new(Some(tasks)) }))
}

impl Etcd {
    /// Ends all watches and tasks. Later watches and revisions fail with `Unavailable`.
    pub async fn close(&self) {
        let tasks = self.tasks.lock().take();
        if let Some(tasks) = tasks {
            tasks.shutdown().trigger();
            // They only end when told to; a panic has been logged.
            let _ = tasks.join().await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store has been closed".into())
}

fn revision_of(header: Option<&wire::Header>) -> Revision {
    Revision(header.map_or(0, |h| h.revision).max(0) as u64)
}

impl Shared {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Refusal> {
        self.connection.call(Kind::Read, RANGE, request).await
    }

    /// A linearisable read of nothing.
    async fn ask_revision(&self) -> Result<Revision> {
        let key = Bytes::from_static(b"\0");
        let answer = self.range(RangeRequest { key, count_only: true, ..RangeRequest::default() }).await;
        let revision = revision_of(answer.map_err(|r| r.into_error(0))?.header.as_ref());
        self.wanted.send_if_modified(|known| {
            let newer = revision > *known;
            *known = (*known).max(revision);
            newer
        });
        Ok(revision)
    }

    async fn compact_to(&self, through: Revision) -> Result<(), Refusal> {
        let request = CompactionRequest { revision: through.0 as i64 };
        let _: HeaderOnly = self.connection.call(Kind::Write, COMPACT, request).await?;
        self.compacted.fetch_max(through.0, Ordering::Relaxed);
        Ok(())
    }

    async fn write_progress(&self, key: Bytes) -> Result<(), Refusal> {
        let request = PutRequest { key, value: Bytes::new(), lease: 0 };
        let _: PutResponse = self.connection.call(Kind::Write, PUT, request).await?;
        Ok(())
    }
}
