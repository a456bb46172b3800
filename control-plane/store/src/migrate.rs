//! Moves a cluster's state from one store to another: keys, values and what is left of leases. Values are copied byte for
//! byte, then both stores are read and compared.
//!
//! Nobody may write to either meanwhile; the comparison finds it if somebody did.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::types::{KeyValue, LeaseId, ListOptions, Op, Result, Revision, Store, StoreError, Txn};
use crate::{Embedded, Etcd};

/// What a cluster keeps is below this.
const ROOT: &[u8] = b"/registry/";
/// Entries read at once.
const PAGE: usize = 2000;
/// Changes in one transaction: etcd takes 128 by default, and a limited size.
const OPS: usize = 100;
const OPS_BYTES: usize = 1 << 20;
/// A put may be done again, so a call that failed on its way is.
const TRIES: usize = 5;

/// A store whose leases can be read.
#[derive(Clone)]
pub enum Datastore {
    Embedded(Arc<Embedded>),
    Etcd(Arc<Etcd>),
}

/// What a whole store comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub keys: u64,
    pub bytes: u64,
    /// SHA-256 over all keys and values in order, in hexadecimal.
    pub sha256: String,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub digest: Digest,
    pub leases: u64,
    /// Keys that were only in the target, and were removed.
    pub removed: u64,
    /// The source's newest revision. The target counts its own.
    pub source_revision: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A wrong file, URL or prefix looks like this.
    #[error("the source holds no keys")]
    Empty,
    #[error("the target already holds keys, the first is {first}")]
    NotEmpty { first: String },
    #[error(
        "what was read back is not what was written: {} keys ({}) in the source, {} keys ({}) in the target; did somebody write meanwhile?",
        .source_digest.keys, .source_digest.sha256, .target_digest.keys, .target_digest.sha256
    )]
    Differs { source_digest: Digest, target_digest: Digest },
    #[error("{tried}")]
    Store {
        tried: &'static str,
        #[source]
        source: StoreError,
    },
}

impl Datastore {
    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => &**store,
            Self::Etcd(store) => &**store,
        }
    }

    async fn remaining(&self, lease: LeaseId) -> Result<Option<Duration>> {
        match self {
            Self::Embedded(store) => Ok(store.remaining(lease)),
            Self::Etcd(store) => store.remaining(lease).await,
        }
    }

    /// Counts and hashes everything, at one revision.
    pub async fn digest(&self) -> Result<Digest> {
        let mut sum = Sha256::new();
        let (mut keys, mut bytes) = (0, 0);
        let mut pages = Pages::new(self.store());
        while let Some(page) = pages.next().await? {
            for kv in page {
                for part in [&kv.key, &kv.value] {
                    sum.update((part.len() as u64).to_be_bytes());
                    sum.update(part);
                    bytes += part.len() as u64;
                }
                keys += 1;
            }
        }
        let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Digest { keys, bytes, sha256 })
    }
}

/// All of a store, at the revision of the first page.
struct Pages<'a> {
    store: &'a dyn Store,
    at: Option<Revision>,
    after: Option<Bytes>,
    done: bool,
}

impl<'a> Pages<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, at: None, after: None, done: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<KeyValue>>> {
        if self.done {
            return Ok(None);
        }
        let options = ListOptions { after: self.after.take(), limit: Some(PAGE), at: self.at };
        let listing = self.store.list(ROOT, options).await?;
        self.at = Some(listing.revision);
        self.after = listing.items.last().map(|kv| kv.key.clone());
        self.done = listing.remaining == 0;
        Ok(Some(listing.items))
    }
}

/// Copies all of `from` to `to` and compares. A target that holds something is refused, or with `force` made the same as the
/// source. `progress` is told the number of keys written so far.
pub async fn migrate(
    from: &Datastore,
    to: &Datastore,
    force: bool,
    mut progress: impl FnMut(u64),
) -> Result<Moved, MigrateError> {
    let reading = |source| MigrateError::Store { tried: "read the source", source };
    let writing = |source| MigrateError::Store { tried: "write to the target", source };
    let first = to.store().list(ROOT, ListOptions { limit: Some(1), ..ListOptions::default() });
    let found = first.await.map_err(|source| MigrateError::Store { tried: "read the target", source })?;
    if let Some(kv) = found.items.first().filter(|_| !force) {
        return Err(MigrateError::NotEmpty { first: String::from_utf8_lossy(&kv.key).into_owned() });
    }
    let one = ListOptions { limit: Some(1), ..ListOptions::default() };
    let source = from.store().list(ROOT, one).await.map_err(reading)?;
    if source.items.is_empty() {
        return Err(MigrateError::Empty);
    }
    let source_revision = source.revision;
    let mut leases = Leases { from, to, known: HashMap::new() };
    let mut written = BTreeSet::new();
    let mut pages = Pages::new(from.store());
    while let Some(page) = pages.next().await.map_err(reading)? {
        let mut ops = Vec::new();
        for kv in page {
            let lease = leases.translate(kv.lease).await?;
            if force {
                written.insert(kv.key.clone());
            }
            ops.push(Op::Put { key: kv.key, value: kv.value, lease });
        }
        let count = ops.len() as u64;
        write(to.store(), ops).await.map_err(writing)?;
        progress(count);
    }
    let removed = if force { remove_others(to, &written).await.map_err(writing)? } else { 0 };
    let leases = leases.known.values().flatten().count() as u64;
    let source_digest = from.digest().await.map_err(reading)?;
    let target_digest =
        to.digest().await.map_err(|source| MigrateError::Store { tried: "read the target again", source })?;
    if source_digest != target_digest {
        return Err(MigrateError::Differs { source_digest, target_digest });
    }
    Ok(Moved { digest: source_digest, leases, removed, source_revision })
}

/// Each lease of the source becomes one of the target with what is left of its time.
struct Leases<'a> {
    from: &'a Datastore,
    to: &'a Datastore,
    known: HashMap<LeaseId, Option<LeaseId>>,
}

impl Leases<'_> {
    async fn translate(&mut self, lease: Option<LeaseId>) -> Result<Option<LeaseId>, MigrateError> {
        let Some(lease) = lease else { return Ok(None) };
        if let Some(known) = self.known.get(&lease) {
            return Ok(*known);
        }
        let left = self.from.remaining(lease).await;
        let left =
            left.map_err(|source| MigrateError::Store { tried: "read a lease of the source", source })?;
        let new =
            match left {
                Some(left) => {
                    let granted = self.to.store().grant(left.max(Duration::from_secs(1))).await;
                    Some(granted.map_err(|source| MigrateError::Store {
                        tried: "grant a lease in the target",
                        source,
                    })?)
                }
                None => None,
            };
        self.known.insert(lease, new);
        Ok(new)
    }
}

async fn remove_others(to: &Datastore, written: &BTreeSet<Bytes>) -> Result<u64> {
    let mut ops = Vec::new();
    let mut pages = Pages::new(to.store());
    while let Some(page) = pages.next().await? {
        let others = page.into_iter().filter(|kv| !written.contains(&kv.key));
        ops.extend(others.map(|kv| Op::Delete { key: kv.key }));
    }
    let removed = ops.len() as u64;
    write(to.store(), ops).await?;
    Ok(removed)
}

async fn write(store: &dyn Store, ops: Vec<Op>) -> Result<()> {
    let mut group: Vec<Op> = Vec::new();
    let mut bytes = 0;
    for op in ops {
        let size = match &op {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
        };
        if group.len() == OPS || (bytes + size > OPS_BYTES && !group.is_empty()) {
            write_group(store, std::mem::take(&mut group)).await?;
            bytes = 0;
        }
        bytes += size;
        group.push(op);
    }
    if group.is_empty() { Ok(()) } else { write_group(store, group).await }
}

/// Puts and deletions without guards come to the same when they are done twice.
async fn write_group(store: &dyn Store, ops: Vec<Op>) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match store.transact(Txn { guards: Vec::new(), ops: ops.clone() }).await {
            Err(StoreError::Unavailable(_)) if tries < TRIES => {}
            done => return done.map(drop),
        }
    }
}
