//! garbage-collector: deletes what nobody owns any more.
//!
//! [`monitors`] watches the metadata of every deletable resource and feeds [`graph`], which knows who owns whom and
//! says which objects need a look (pure); [`attempt`] takes that look, asking the API before it deletes anything.

mod attempt;
mod graph;
mod monitors;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use kube::Client;
use oarlock_base::Tasks;
use oarlock_client::{Informers, Outcome, WorkQueue};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use crate::common::context::work;
use crate::common::{ApiError, Context, Controller, api_error};
use graph::{Graph, Look, Uid};
use monitors::Monitors;

const WORKERS: usize = 20;

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A look that an object needs, as a key of the work queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    look: Look,
    uid: Uid,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.look, self.uid)
    }
}

pub(crate) struct GarbageCollector {
    client: Client,
    graph: Mutex<Graph>,
    monitors: RwLock<Monitors>,
    informers: Informers,
    queue: WorkQueue<Key>,
    /// Told when the set of resources may have changed.
    rediscover: tokio::sync::Notify,
    /// Turns true when the first watches have listed: an incomplete graph must not decide.
    ready: tokio::sync::watch::Sender<bool>,
}

impl GarbageCollector {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("generic-garbage-collector");
        Box::new(Handle(Arc::new(Self {
            informers: Informers::new(client.clone(), context.spawner.clone()),
            client,
            graph: Mutex::default(),
            monitors: RwLock::default(),
            queue: WorkQueue::new("garbage_collector_attempt_to_delete"),
            rediscover: tokio::sync::Notify::new(),
            ready: tokio::sync::watch::Sender::new(false),
        })))
    }

    fn enqueue(&self, looks: Vec<(Look, Uid)>) {
        for (look, uid) in looks {
            self.queue.add(Key { look, uid });
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Result<Outcome, Error> {
        // An error says that the sender is gone, which `self` prevents.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
        match key.look {
            Look::Delete => self.attempt_to_delete(&key.uid).await,
            Look::Orphan => self.attempt_to_orphan(&key.uid).await,
        }
    }
}

struct Handle(Arc<GarbageCollector>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let collector = self.0;
        let (monitor, queue) = (collector.clone(), collector.queue.clone());
        tasks.spawn("garbage-collector-monitors", move |stop| async move {
            stop.or(monitor.keep_monitors()).await;
            Ok::<(), std::convert::Infallible>(())
        });
        work(tasks, collector, &queue, WORKERS, GarbageCollector::sync);
    }
}
