//! Connection tasks belong to the server's tasks: they end with it.

use std::future::Future;

use oarlock_base::TaskSpawner;

#[derive(Clone)]
pub(crate) struct Owned(pub(crate) TaskSpawner);

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        let stop = self.0.shutdown().clone();
        self.0.spawn("webhook connection", async move {
            // A connection that the shutdown cuts off has nobody left to answer to.
            let _ = stop.or(work).await;
        });
    }
}
