//! The loop around a reconcile: take a key, work, give it back, and decide when it is looked at again.

use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use oarlock_base::Tasks;
use tracing::warn;

use super::WorkQueue;

/// What a reconcile that went well asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing; the next change will bring the key back.
    Done,
    /// Another look soon, later each time, although nothing failed.
    Requeue,
    /// Another look after this long.
    RequeueAfter(Duration),
}

/// Starts `workers` tasks that reconcile the queue's keys. A failure is logged and the key comes back with a growing
/// delay. At shutdown a reconcile is dropped where it stands: it must be correct to be cut off between two requests.
pub fn run_workers<T, F, Fut, E>(tasks: &mut Tasks, queue: &WorkQueue<T>, workers: usize, reconcile: F)
where
    T: Clone + Eq + Hash + Display + Send + Sync + 'static,
    F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    for worker in 0..workers {
        let (queue, reconcile) = (queue.clone(), reconcile.clone());
        tasks.spawn(format!("{}-{worker}", queue.name()), move |stop| async move {
            let work = async {
                while let Some(item) = queue.get().await {
                    let result = reconcile(item.clone()).await;
                    settle(&queue, &item, result);
                    queue.done(&item);
                }
            };
            if stop.or(work).await.is_none() {
                queue.shut_down();
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

fn settle<T, E>(queue: &WorkQueue<T>, item: &T, result: Result<Outcome, E>)
where
    T: Clone + Eq + Hash + Display + Send + 'static,
    E: std::error::Error + 'static,
{
    match result {
        Ok(Outcome::Done) => queue.forget(item),
        Ok(Outcome::Requeue) => queue.add_rate_limited(item.clone()),
        Ok(Outcome::RequeueAfter(delay)) => {
            queue.forget(item);
            queue.add_after(item.clone(), delay);
        }
        Err(error) => {
            warn!(queue = queue.name(), %item, error = %chain(&error), retries = queue.requeues(item), "reconcile failed");
            queue.add_rate_limited(item.clone());
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        // kube's own errors repeat their source, and print the whole Status.
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            text.push_str(&status.message);
            break;
        }
        text.push_str(&error.to_string());
        next = error.source().filter(|_| !error.is::<kube::Error>());
    }
    text
}
