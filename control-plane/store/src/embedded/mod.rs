//! The default backend: a redb file under one writer thread that groups commits. `README.md` has the format and threads.

mod control;
#[cfg(test)]
mod crash_test;
mod disk;
mod failure;
mod file;
mod format;
mod inspect;
mod pace;
mod thread;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Answer, Engine};
use crate::mvcc::Command;
use crate::types::{
    KeyValue, LeaseId, ListOptions, Listing, Result, Revision, Store, StoreError, Txn, TxnReply, WatchStream,
};
use control::Control;
pub use control::{Answered, ask_embedded};
use disk::Disk;
use file::FileMedium;
pub(crate) use format::write_new;
pub use inspect::Facts;
use thread::Request;
pub use tools::{
    Report, Restore, advance_embedded, check_embedded, copy_embedded, defragment_embedded, restore_embedded,
};

/// Transactions that may wait for the writer; more callers wait outside. Also the most that share one commit.
const WRITE_QUEUE: usize = 256;

/// Listings of more entries than this are read on a thread that may block. Shorter ones cost less than the handover.
const INLINE_LIST: usize = 64;

/// How an embedded store behaves. The default is meant for everybody.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Old versions are kept for at least so long, and at most twice as long; `None` keeps them until
    /// [`Store::compact`] is called.
    pub keep_history: Option<Duration>,
    /// Pages of the file kept in memory. The operating system caches the file as well.
    pub cache_bytes: usize,
    /// The file grows no larger: writes are then refused with `DiskFull`. Shared, so that it can be changed.
    pub quota_bytes: Arc<AtomicU64>,
    /// A Unix socket to listen on for [`ask_embedded`].
    pub control: Option<PathBuf>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            keep_history: Some(Duration::from_secs(300)),
            cache_bytes: 4 << 20,
            quota_bytes: Arc::new(AtomicU64::new(u64::MAX)),
            control: None,
        }
    }
}

/// A store in a file. Dropping it answers what was asked before, ends all watches and closes the file.
pub struct Embedded {
    engine: Arc<Engine<Disk>>,
    writer: Mutex<Option<Writing>>,
    control: Mutex<Option<Control>>,
    path: PathBuf,
}

struct Writing {
    queue: mpsc::Sender<Request>,
    thread: std::thread::JoinHandle<()>,
}

/// Opens the store in the file `path`, or makes it; the folder must be there. One process at a time: another one is refused with
/// `Unavailable`.
pub fn open_embedded(path: &Path, options: EmbeddedOptions) -> Result<Arc<Embedded>> {
    let (keep_history, socket) = (options.keep_history, options.control.clone());
    tools::create(path)?;
    let (engine, writer) = Engine::open(Disk::open(Arc::new(FileMedium(path.to_owned())), options)?)?;
    let engine = Arc::new(engine);
    let (queue, requests) = mpsc::channel(WRITE_QUEUE);
    let thread = thread::start(engine.clone(), writer, requests, keep_history)?;
    let control = match socket {
        Some(socket) => Some(Control::start(&socket, engine.clone(), &queue, path)?),
        None => None,
    };
    let writer = Mutex::new(Some(Writing { queue, thread }));
    Ok(Arc::new(Embedded { engine, writer, control: Mutex::new(control), path: path.to_owned() }))
}

impl Embedded {
    /// Answers what was asked before, ends all watches, closes the file. Later calls fail with `Unavailable`.
    pub fn close(&self) {
        let Some(Writing { queue, thread }) = self.writer.lock().take() else { return };
        // A request under way is answered first.
        drop(self.control.lock().take());
        drop(queue);
        // A panic of the thread has been printed, and its callers were told.
        let _ = thread.join();
        self.engine.close();
        self.engine.log.close();
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time that a lease was granted, which is what a restart gives it again; `None` if there is no such lease.
    pub fn remaining(&self, lease: LeaseId) -> Option<Duration> {
        self.engine.lease(lease)
    }

    /// What it holds, and what contradicts itself in it (nothing, in a sound store).
    pub async fn inspect(&self) -> Result<Report> {
        let path = self.path.clone();
        self.blocking(move |engine| inspect_open(engine, &path)).await
    }

    /// Gives back the file's free space; reads and writes wait meanwhile. What it took before and takes now, in bytes.
    pub async fn defragment(&self) -> Result<(u64, u64)> {
        let path = self.path.clone();
        self.blocking(move |engine| defragment_open(engine, &path)).await
    }

    async fn ask(&self, command: Command) -> Result<Answer> {
        let queue = self.writer.lock().as_ref().map(|w| w.queue.clone()).ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        queue.send(Request { command, reply }).await.map_err(|_| closed())?;
        drop(queue);
        answer.await.map_err(|_| closed())?
    }

    /// Runs what reads the file at length where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine<Disk>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || work(&engine))
            .await
            .map_err(|source| StoreError::Backend { tried: "read the store", source: source.into() })?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

fn inspect_open(engine: &Engine<Disk>, path: &Path) -> Result<Report> {
    let (mut facts, faults) = engine.log.inspect()?;
    facts.file_bytes = file_bytes(path)?;
    Ok(Report { facts, faults, repaired: false })
}

fn defragment_open(engine: &Engine<Disk>, path: &Path) -> Result<(u64, u64)> {
    let before = file_bytes(path)?;
    engine.log.defragment()?;
    Ok((before, file_bytes(path)?))
}

fn file_bytes(path: &Path) -> Result<u64> {
    let found = std::fs::metadata(path);
    Ok(found
        .map_err(|source| StoreError::Backend { tried: "look at the store's file", source: source.into() })?
        .len())
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store has been closed".into())
}

#[async_trait]
impl Store for Embedded {
    async fn sizes(&self) -> Vec<Option<u64>> {
        vec![std::fs::metadata(&self.path).ok().map(|file| file.len())]
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(self.engine.revision())
    }

    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        self.engine.get(key, at)
    }

    fn revision_of(&self, key: &[u8]) -> Option<Revision> {
        Some(self.engine.revision_of(key))
    }

    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        if options.limit.is_some_and(|limit| limit <= INLINE_LIST) {
            return self.engine.list(prefix, &options);
        }
        let prefix = Bytes::copy_from_slice(prefix);
        self.blocking(move |engine| engine.list(&prefix, &options)).await
    }

    async fn transact(&self, txn: Txn) -> Result<TxnReply> {
        crate::engine::check_size(&txn)?;
        match self.ask(Command::Transact(txn)).await? {
            Answer::Txn(reply) => Ok(reply),
            other => unreachable!("a transaction is not answered with {other:?}"),
        }
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        self.engine.watch(prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        match self.ask(Command::Grant(ttl)).await? {
            Answer::Lease(lease) => Ok(lease),
            other => unreachable!("a grant is not answered with {other:?}"),
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.ask(Command::Revoke(lease)).await.map(drop)
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.ask(Command::Compact(through)).await.map(drop)
    }

    async fn snapshot(&self, to: &Path) -> Result<Revision> {
        let to = to.to_owned();
        self.blocking(move |engine| engine.log.copy(&to)).await
    }
}
