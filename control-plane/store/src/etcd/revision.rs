//! The newest revision, linearisably, for many callers at once: who asks while a question is under way shares the next one.
//!
//! Every consistent read of the API server asks, so one round trip must serve all of them.

use std::sync::Arc;

use oarlock_base::Shutdown;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use crate::types::{Result, Revision, StoreError};

/// Callers that may wait; more wait outside.
const WAITING: usize = 1024;

type Asked = oneshot::Sender<Result<Revision>>;

#[derive(Clone)]
pub(super) struct Revisions(mpsc::Sender<Asked>);

impl Revisions {
    pub(super) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, questions) = mpsc::channel(WAITING);
        (Self(sender), questions)
    }

    pub(super) async fn newest(&self) -> Result<Revision> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| super::closed())?;
        answer.await.map_err(|_| super::closed())?
    }
}

/// The task that asks.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut questions: mpsc::Receiver<Asked>,
    stop: Shutdown,
) -> Result<()> {
    let mut waiting = Vec::new();
    loop {
        // All who wait now asked before the question goes out, so its answer is new enough for them.
        match stop.or(questions.recv_many(&mut waiting, WAITING)).await {
            None | Some(0) => return Ok(()),
            Some(_) => {}
        }
        let Some(answer) = stop.or(shared.ask_revision()).await else { return Ok(()) };
        for reply in waiting.drain(..) {
            let each = match &answer {
                Ok(revision) => Ok(*revision),
                Err(failure) => Err(StoreError::Unavailable(failure.to_string())),
            };
            // Whoever asked may have gone.
            let _ = reply.send(each);
        }
    }
}
