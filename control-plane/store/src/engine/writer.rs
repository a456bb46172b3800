//! The writing side: a group of commands becomes one durable commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::{End, Engine, Log};
use crate::mvcc::{Batch, Command, Index, Outcome, VersionRef, apply};
use crate::types::{KeyValue, LeaseId, Result, Revision, StoreError, TxnReply};

/// Versions removed from the log in one commit: a compaction is spread over many, so that writers need not wait long.
const GARBAGE_STEP: usize = 1024;

/// What a command is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Txn(TxnReply),
    Lease(LeaseId),
    Done,
}

/// What only the one who writes needs: when leases end, and what the log should still forget.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    garbage: VecDeque<VersionRef>,
    /// The last commit failed: garbage waits until one succeeds.
    ailing: bool,
    ends: BTreeSet<(Instant, LeaseId)>,
    by_lease: BTreeMap<LeaseId, Instant>,
}

impl Writer {
    /// A restart gives every lease its whole time again.
    pub(super) fn new(index: &mut Index) -> Self {
        let mut writer = Self::default();
        // Versions that a compaction had not yet removed from the log when the process ended.
        writer.garbage.extend(index.compact(index.compacted));
        for (lease, ttl) in index.leases() {
            writer.start_lease(lease, ttl);
        }
        writer
    }

    fn start_lease(&mut self, lease: LeaseId, ttl: Duration) {
        let end = Instant::now() + ttl;
        self.ends.insert((end, lease));
        self.by_lease.insert(lease, end);
    }

    fn end_lease(&mut self, lease: LeaseId) {
        if let Some(end) = self.by_lease.remove(&lease) {
            self.ends.remove(&(end, lease));
        }
    }

    /// When the next lease ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Commands for the leases that have ended.
    pub(crate) fn expired(&self, now: Instant) -> Vec<Command> {
        self.ends
            .iter()
            .take_while(|(end, _)| *end <= now)
            .map(|(_, lease)| Command::Revoke(*lease))
            .collect()
    }

    /// Is there work left even if no command comes?
    pub(crate) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty() && !self.ailing
    }

    fn next_garbage(&mut self) -> Vec<VersionRef> {
        let count = if self.ailing { 0 } else { self.garbage.len().min(GARBAGE_STEP) };
        self.garbage.drain(..count).collect()
    }
}

impl<L: Log> Engine<L> {
    /// Applies the commands in order as one commit and gives their answers. A command that is refused does not hinder the
    /// others; a commit that fails undoes them all.
    pub(crate) fn write(&self, writer: &mut Writer, commands: Vec<Command>) -> Vec<Result<Answer>> {
        let garbage = writer.next_garbage();
        let (batch, outcomes) = self.decide(commands);
        let answers = outcomes.iter().map(|outcome| self.answer(&batch, outcome)).collect();
        if batch.is_empty() && garbage.is_empty() {
            return finish(outcomes, answers);
        }
        if let Err(failure) = self.log.commit(&batch, &garbage) {
            self.recover(writer, &failure);
            return outcomes.into_iter().map(|outcome| outcome.and_then(|_| Err(again(&failure)))).collect();
        }
        writer.ailing = false;
        self.take_in(writer, &batch, &outcomes);
        finish(outcomes, answers)
    }

    fn decide(&self, commands: Vec<Command>) -> (Batch, Vec<Result<Outcome>>) {
        let index = self.index.read();
        let mut batch = Batch::new(&index);
        let outcomes = commands.into_iter().map(|command| apply(&index, &mut batch, command)).collect();
        (batch, outcomes)
    }

    /// The answer to one command, if the batch becomes durable. Values come from before the commit.
    fn answer(&self, batch: &Batch, outcome: &Result<Outcome>) -> Result<Answer> {
        let Ok(outcome) = outcome else { return Ok(Answer::Done) };
        Ok(match outcome {
            Outcome::Done(revision) => Answer::Txn(TxnReply::Done { revision: *revision }),
            Outcome::Failed(revision, current) => {
                let current = current.iter().map(|found| match found {
                    Some((key, version)) => self.value_of(batch, (key.clone(), version.revision)).map(Some),
                    None => Ok(None),
                });
                Answer::Txn(TxnReply::Failed {
                    revision: *revision,
                    current: current.collect::<Result<_>>()?,
                })
            }
            Outcome::Granted(lease, _) => Answer::Lease(*lease),
            Outcome::Revoked(_) | Outcome::Compacted => Answer::Done,
        })
    }

    fn value_of(&self, batch: &Batch, (key, revision): VersionRef) -> Result<KeyValue> {
        if let Some(change) = batch.change(&key, revision) {
            return Ok(change.key_value());
        }
        let wanted = [(key, revision)];
        let record = self.log.records(&wanted)?.pop().flatten();
        let [(key, revision)] = wanted;
        let lost = || StoreError::Unavailable("a version that is in the index is not in the log".into());
        Ok(record.ok_or_else(lost)?.key_value(key, revision))
    }

    /// The batch is durable: let readers, then watchers, see it.
    fn take_in(&self, writer: &mut Writer, batch: &Batch, outcomes: &[Result<Outcome>]) {
        for outcome in outcomes.iter().flatten() {
            match outcome {
                Outcome::Granted(lease, ttl) => writer.start_lease(*lease, *ttl),
                Outcome::Revoked(lease) => writer.end_lease(*lease),
                _ => {}
            }
        }
        if batch.compact.is_some() {
            // Quiet watchers learn how far they are, so that resuming from there is not refused.
            self.hub.nudge(self.index.read().revision);
        }
        writer.garbage.extend(self.index.write().install(batch));
        let told = if self.hub.has_watchers() { super::batches(batch.changes.clone()) } else { Vec::new() };
        self.hub.publish(batch.revision, &told);
    }

    /// A commit failed, so only the log knows what it holds.
    fn recover(&self, writer: &mut Writer, failure: &StoreError) {
        warn!(error = %failure, "commit failed");
        writer.ailing = true;
        let loaded = self.log.load();
        let Ok(mut index) = loaded else { return };
        let revision: Revision = index.revision;
        *writer = Writer { ailing: true, ..Writer::new(&mut index) };
        let mut current = self.index.write();
        if revision != current.revision {
            self.hub.end(End::Broken);
            self.hub.publish(revision, &[]);
        }
        *current = index;
    }
}

/// Refusals stay what they are; the rest is answered.
fn finish(outcomes: Vec<Result<Outcome>>, answers: Vec<Result<Answer>>) -> Vec<Result<Answer>> {
    outcomes.into_iter().zip(answers).map(|(outcome, answer)| outcome.and(answer)).collect()
}

/// The same failure for each command of a group.
fn again(failure: &StoreError) -> StoreError {
    match failure {
        StoreError::DiskFull => StoreError::DiskFull,
        other => StoreError::Unavailable(format!("commit failed: {other}")),
    }
}
