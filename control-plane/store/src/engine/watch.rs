//! One watch as a stream: the past from the log, then progress, then the present from the hub. A watch whose queue was full
//! once does the same again from where it is, so a slow reader misses nothing and holds little.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream;

use super::hub::{Ended, Registration};
use super::{Engine, Log};
use crate::types::{Result, Revision, StoreError, WatchBatch, WatchStream};

struct Watch<L> {
    engine: Arc<Engine<L>>,
    registration: Registration,
    /// Everything at or below has been read from the log or the queue.
    reached: Revision,
    /// The log is read up to here, the queue goes on from here.
    through: Revision,
    replayed: VecDeque<WatchBatch>,
    /// The progress that ends the replay is still to be given.
    replaying: bool,
    failed: bool,
}

pub(super) fn stream<L: Log>(
    engine: Arc<Engine<L>>,
    registration: Registration,
    after: Revision,
    through: Revision,
) -> WatchStream {
    let watch = Watch {
        engine,
        registration,
        reached: after,
        through: through.max(after),
        replayed: VecDeque::new(),
        replaying: true,
        failed: false,
    };
    Box::pin(stream::unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        watch.failed = next.is_err();
        Some((next, watch))
    }))
}

impl<L: Log> Watch<L> {
    async fn next(&mut self) -> Option<Result<WatchBatch>> {
        if self.failed {
            return None;
        }
        while self.replaying {
            if let Some(batch) = self.replayed.pop_front() {
                return Some(Ok(batch));
            }
            if self.reached >= self.through {
                self.replaying = false;
                self.reached = self.through;
                return Some(Ok(WatchBatch { revision: self.through, events: Vec::new() }));
            }
            match self.engine.replay(&self.registration.prefix, self.reached, self.through) {
                Ok((batches, reached)) => {
                    self.replayed.extend(batches);
                    self.reached = reached;
                }
                Err(error) => return Some(Err(error)),
            }
        }
        loop {
            match self.registration.queue.recv().await {
                // The index is a moment ahead of the hub: what the caller knew already may still come by.
                Some(batch) if batch.revision <= self.reached => {}
                Some(batch) => {
                    self.reached = batch.revision;
                    return Some(Ok(batch));
                }
                None => match self.registration.why() {
                    Ended::Closed => {
                        return Some(Err(StoreError::Unavailable("the store has been closed".into())));
                    }
                    Ended::Broken => return Some(Err(StoreError::Lagged { at: self.reached })),
                    Ended::Full => {
                        self.register_again();
                        return Box::pin(self.next()).await;
                    }
                },
            }
        }
    }

    fn register_again(&mut self) {
        let (registration, through) = self.engine.hub.register(self.registration.prefix.clone());
        self.registration = registration;
        self.through = through.max(self.reached);
        self.replaying = true;
    }
}
