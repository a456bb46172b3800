//! Owned tasks. A parent names its children, tells them to stop, and waits for them: no task outlives its owner, and
//! none fails in silence.

use std::future::Future;

use std::sync::Arc;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, error_span};

/// The wish to stop, handed down the tree of tasks. Clones share one state; a [`child`](Self::child) hears its
/// parent but not the other way round.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that stops when this one does, and can be stopped alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    pub fn trigger(&self) {
        self.0.cancel();
    }

    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns when somebody has called [`trigger`](Self::trigger).
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Runs `work` until it ends or the shutdown comes, whichever is first; `None` is the shutdown.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// Why a task of a [`Tasks`] ended badly.
#[derive(Debug, Error)]
pub enum TaskError {
    #[error("task {name} failed")]
    Failed {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("task {name} panicked: {message}")]
    Panicked { name: String, message: String },
}

/// The long-lived children of one component. The first that fails stops the others; [`join`](Self::join) waits for
/// all and gives that first failure. For short work (a connection, a reconcile) take a [`spawner`](Self::spawner).
pub struct Tasks {
    owner: &'static str,
    stop: Shutdown,
    set: JoinSet<Result<(), TaskError>>,
    short: TaskSpawner,
}

impl Tasks {
    /// Tasks that stop when `parent` does.
    pub fn new(owner: &'static str, parent: &Shutdown) -> Self {
        let stop = parent.child();
        let short = TaskSpawner { tracker: TaskTracker::new(), stop: stop.clone(), owner: owner.into() };
        Self { owner, stop, set: JoinSet::new(), short }
    }

    /// The token these tasks listen to.
    pub fn shutdown(&self) -> &Shutdown {
        &self.stop
    }

    /// Starts a child that runs until it is told to stop. Its panic is caught, named and reported as a failure.
    pub fn spawn<F, Fut, E>(&mut self, name: impl Into<String>, task: F)
    where
        F: FnOnce(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = name.into();
        let work = task(self.stop.clone());
        let span = error_span!("task", owner = self.owner, name = %name);
        self.set.spawn(
            async move {
                use futures::FutureExt as _;
                let result = match std::panic::AssertUnwindSafe(work).catch_unwind().await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(source)) => Err(TaskError::Failed { name, source: source.into() }),
                    Err(panic) => Err(TaskError::Panicked { name, message: panic_message(panic.as_ref()) }),
                };
                debug!(ok = result.is_ok(), "task ended");
                result
            }
            .instrument(span),
        );
    }

    /// A handle that starts short tasks owned by this set: they are told of the shutdown and waited for, and their
    /// panic is logged but ends nothing else.
    pub fn spawner(&self) -> TaskSpawner {
        self.short.clone()
    }

    /// Returns the first failure of a child, which also stops the others; never returns while there is none. Children
    /// that end well are let go of. Call [`join`](Self::join) afterwards in any case.
    pub async fn failed(&mut self) -> Result<(), TaskError> {
        while let Some(ended) = self.set.join_next().await {
            let ended = ended.unwrap_or_else(|e| {
                Err(TaskError::Panicked { name: self.owner.into(), message: e.to_string() })
            });
            if let Err(failure) = ended {
                self.stop.trigger();
                return Err(failure);
            }
        }
        std::future::pending().await
    }

    /// Waits for every child; the first failure stops the rest and is what is given back.
    pub async fn join(mut self) -> Result<(), TaskError> {
        let mut first = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let ended = ended.unwrap_or_else(|e| {
                Err(TaskError::Panicked { name: self.owner.into(), message: e.to_string() })
            });
            if let Err(failure) = ended {
                if first.is_ok() {
                    self.stop.trigger();
                    first = Err(failure);
                } else {
                    error!(owner = self.owner, error = %failure, "a further task failed");
                }
            }
        }
        self.stop.trigger();
        self.short.tracker.close();
        self.short.tracker.wait().await;
        first
    }
}

/// Starts short tasks on behalf of a [`Tasks`].
#[derive(Clone)]
pub struct TaskSpawner {
    tracker: TaskTracker,
    stop: Shutdown,
    owner: Arc<str>,
}

impl TaskSpawner {
    /// The token these tasks listen to.
    pub fn shutdown(&self) -> &Shutdown {
        &self.stop
    }

    /// Starts a short task. The future ends by itself, or when `shutdown()` triggers.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let owner = self.owner.clone();
        self.tracker.spawn(async move {
            use futures::FutureExt as _;
            if let Err(panic) = std::panic::AssertUnwindSafe(work).catch_unwind().await {
                error!(%owner, name, message = panic_message(panic.as_ref()), "task panicked");
            }
        })
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[tokio::test]
    async fn the_first_failure_stops_the_others_and_is_given_back() {
        let root = Shutdown::new();
        let mut tasks = Tasks::new("test", &root);
        tasks.spawn("patient", |stop| async move {
            stop.wait().await;
            Ok::<_, io::Error>(())
        });
        tasks.spawn("broken", |_| async { Err(io::Error::other("no")) });
        let failure = tasks.join().await.expect_err("one task failed");
        assert!(matches!(failure, TaskError::Failed { name, .. } if name == "broken"));
        assert!(!root.is_triggered(), "a child never stops its parent");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_with_a_name() {
        let mut tasks = Tasks::new("test", &Shutdown::new());
        tasks.spawn("clumsy", |_| async {
            if true {
                panic!("dropped {}", "it");
            }
            Ok::<_, io::Error>(())
        });
        let failure = tasks.join().await.expect_err("the task panicked");
        assert_eq!(failure.to_string(), "task clumsy panicked: dropped it");
    }

    #[tokio::test]
    async fn shutdown_reaches_children_and_short_tasks_are_waited_for() {
        let root = Shutdown::new();
        let mut tasks = Tasks::new("test", &root);
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let spawner = tasks.spawner();
        let (seen, stop) = (done.clone(), spawner.shutdown().clone());
        spawner.spawn("short", async move {
            stop.wait().await;
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        tasks.spawn("loop", |stop| async move {
            stop.wait().await;
            Ok::<_, io::Error>(())
        });
        root.trigger();
        tasks.join().await.expect("nothing failed");
        assert!(done.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[tokio::test]
    async fn or_gives_none_on_shutdown() {
        let stop = Shutdown::new();
        assert_eq!(stop.or(async { 1 }).await, Some(1));
        stop.trigger();
        assert_eq!(stop.or(std::future::pending::<i32>()).await, None);
    }
}
