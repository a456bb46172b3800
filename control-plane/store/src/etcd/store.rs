//! The `Store` trait over etcd's calls.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;

use super::connection::Kind;
use super::errors::Refusal;
use super::keys::{after, end_of, is_progress, start_of};
use super::split::key_value;
use super::watch::Ask;
use super::wire::{
    self, DeleteRangeRequest, OneRequest, PutRequest, RangeRequest, RequestOp, TARGET_MOD, Target,
};
use super::{Etcd, TXN, closed, revision_of};
use crate::mvcc::last_of_each_key;
use crate::types::{
    Compare, KeyValue, LeaseId, ListOptions, Listing, Op, Result, Revision, Store, StoreError, Txn, TxnReply,
    WatchBatch, WatchStream,
};

/// Entries asked for at once: bounds what one answer holds in memory.
const PAGE: usize = 4096;

const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";

impl Etcd {
    /// Says a refusal in the store's terms; those about revisions take another question.
    async fn error(&self, refusal: Refusal, asked: Revision) -> StoreError {
        match refusal {
            Refusal::Compacted => {
                let known = Revision(self.shared.compacted.load(Ordering::Relaxed));
                if asked < known {
                    return StoreError::Compacted { asked, oldest: known };
                }
                let learnt = self.watches.compacted().await.unwrap_or(Revision(asked.0 + 1));
                self.shared.compacted.fetch_max(learnt.0, Ordering::Relaxed);
                StoreError::Compacted { asked, oldest: learnt }
            }
            Refusal::Future => match self.revisions.newest().await {
                Ok(newest) => StoreError::Future { asked, newest },
                Err(failure) => failure,
            },
            other => other.into_error(0),
        }
    }

    async fn range(&self, request: RangeRequest) -> Result<wire::RangeResponse> {
        let asked = Revision(request.revision.max(0) as u64);
        match self.shared.range(request).await {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(self.error(refusal, asked).await),
        }
    }

    /// All pages of one listing.
    async fn pages(&self, prefix: &[u8], options: &ListOptions) -> Result<Listing> {
        let range_end = end_of(prefix);
        let mut key = match &options.after {
            Some(last) if &last[..] >= prefix => after(&self.shared.keys.outward(last)),
            _ => start_of(Bytes::copy_from_slice(prefix)),
        };
        let mut revision = options.at.map(state_at);
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut items: Vec<KeyValue> = Vec::new();
        loop {
            let page = PAGE.min(limit - items.len());
            let request = RangeRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                limit: page as i64,
                revision: revision.map_or(0, |r| r.0 as i64),
                keys_only: false,
                count_only: page == 0,
            };
            let answer = self.range(request).await?;
            let revision = *revision.get_or_insert(revision_of(answer.header.as_ref()));
            let given = answer.kvs.len();
            if let Some(last) = answer.kvs.last() {
                key = after(&last.key);
            }
            let kvs = answer.kvs.into_iter().filter(|kv| !is_progress(&kv.key));
            items.extend(kvs.map(|kv| key_value(kv, &self.shared.keys)));
            let remaining = (answer.count.max(0) as usize).saturating_sub(given);
            if remaining == 0 || items.len() >= limit {
                let revision = options.at.unwrap_or(revision);
                return Ok(Listing { items, revision, remaining });
            }
        }
    }
}

/// etcd's revision 0 is "now"; its first state, of nothing, is 1.
fn state_at(at: Revision) -> Revision {
    at.max(Revision(1))
}

#[async_trait]
impl Store for Etcd {
    async fn sizes(&self) -> Vec<Option<u64>> {
        let members = self.members().await.into_iter();
        members.map(|(_, status)| status.ok().map(|status| status.size_bytes)).collect()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn revision(&self) -> Result<Revision> {
        self.revisions.newest().await
    }

    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        let revision = at.map_or(0, |at| state_at(at).0 as i64);
        let request =
            RangeRequest { key: self.shared.keys.outward(key), revision, ..RangeRequest::default() };
        let answer = self.range(request).await?;
        let newest = revision_of(answer.header.as_ref());
        let found = answer.kvs.into_iter().next().map(|kv| key_value(kv, &self.shared.keys));
        Ok((found, at.unwrap_or(newest)))
    }

    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        let prefix = self.shared.keys.outward(prefix);
        loop {
            match self.pages(&prefix, &options).await {
                // The revision of our own choice was compacted between two pages: a newer one will do as well.
                Err(StoreError::Compacted { .. }) if options.at.is_none() => {}
                done => return done,
            }
        }
    }

    async fn transact(&self, txn: Txn) -> Result<TxnReply> {
        crate::engine::check_size(&txn)?;
        let bytes = crate::engine::size_of(&txn);
        let keys = &self.shared.keys;
        let guards: Vec<Compare> = txn
            .guards
            .into_iter()
            .map(|guard| Compare { key: keys.outward_owned(guard.key), ..guard })
            .collect();
        let request = wire::TxnRequest {
            compare: guards.iter().map(compare).collect(),
            success: last_of_each_key(txn.ops).into_iter().map(|op| request_op(op, keys)).collect(),
            failure: guards.into_iter().map(|guard| look(guard.key)).collect(),
        };
        let answer: Result<wire::TxnResponse, Refusal> =
            self.shared.connection.call(Kind::Write, TXN, request).await;
        let answer = answer.map_err(|refusal| refusal.into_error(bytes))?;
        let revision = revision_of(answer.header.as_ref());
        if answer.succeeded {
            return Ok(TxnReply::Done { revision });
        }
        let found = answer.responses.into_iter().map(|r| r.range.and_then(|r| r.kvs.into_iter().next()));
        Ok(TxnReply::Failed { revision, current: found.map(|kv| kv.map(|kv| key_value(kv, keys))).collect() })
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let prefix = self.shared.keys.outward(prefix);
        // etcd would begin a watch in the future, and take a while to say that the past has gone.
        let probe = RangeRequest {
            key: Bytes::from_static(b"\0"),
            revision: state_at(after).0 as i64,
            count_only: true,
            ..RangeRequest::default()
        };
        if let Err(refusal) = self.shared.range(probe).await {
            return Err(self.error(refusal, after).await);
        }
        let (id, queue) = self.watches.start(prefix, after).await?;
        let reader = Reader {
            queue,
            ready: VecDeque::new(),
            reached: after,
            ended: false,
            guard: Guard { id, asks: self.watches.asks.clone() },
        };
        Ok(Box::pin(stream::unfold(reader, |mut reader| async move {
            let next = reader.next().await?;
            Some((next, reader))
        })))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        // etcd counts in seconds.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request =
            wire::LeaseGrantRequest { ttl: i64::try_from(seconds.max(1)).unwrap_or(i64::MAX), id: 0 };
        // A lease granted twice costs nothing: the one that nobody knows ends by itself.
        let answer: Result<wire::LeaseGrantResponse, Refusal> =
            self.shared.connection.call(Kind::Read, GRANT, request).await;
        Ok(LeaseId(answer.map_err(|refusal| refusal.into_error(0))?.id as u64))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        let request = wire::LeaseRevokeRequest { id: lease.0 as i64 };
        let answer: Result<wire::HeaderOnly, Refusal> =
            self.shared.connection.call(Kind::Write, REVOKE, request).await;
        answer.map(drop).map_err(|refusal| refusal.into_error(0))
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        match self.shared.compact_to(through).await {
            Ok(()) => Ok(()),
            // etcd refuses to do again what is done; its own record of what that is may be newer than ours.
            Err(Refusal::Compacted) => match self.watches.compacted().await {
                Some(oldest) if oldest == through => Ok(()),
                Some(oldest) => Err(StoreError::Compacted { asked: through, oldest }),
                None => Err(StoreError::Compacted { asked: through, oldest: Revision(through.0 + 1) }),
            },
            Err(refusal) => Err(self.error(refusal, through).await),
        }
    }

    /// Writes a snapshot in etcd's own format, as `etcdctl snapshot save`; the revision given is one that it holds at least.
    async fn snapshot(&self, to: &Path) -> Result<Revision> {
        let revision = self.revisions.newest().await?;
        self.save_snapshot(to).await?;
        Ok(revision)
    }
}

fn compare(guard: &Compare) -> wire::Compare {
    wire::Compare {
        target: TARGET_MOD,
        key: guard.key.clone(),
        value: Some(Target::ModRevision(guard.mod_revision.0 as i64)),
    }
}

fn look(key: Bytes) -> RequestOp {
    RequestOp { request: Some(OneRequest::Range(RangeRequest { key, ..RangeRequest::default() })) }
}

fn request_op(op: Op, keys: &super::Keys) -> RequestOp {
    RequestOp {
        request: Some(match op {
            Op::Put { key, value, lease } => OneRequest::Put(PutRequest {
                key: keys.outward_owned(key),
                value,
                lease: lease.map_or(0, |lease| lease.0 as i64),
            }),
            Op::Delete { key } => OneRequest::Delete(DeleteRangeRequest {
                key: keys.outward_owned(key),
                range_end: Bytes::new(),
            }),
        }),
    }
}

/// A watch's end of its queue.
struct Reader {
    queue: mpsc::Receiver<Result<Vec<WatchBatch>>>,
    ready: VecDeque<WatchBatch>,
    reached: Revision,
    ended: bool,
    guard: Guard,
}

/// Ends the watch when its reader is dropped.
struct Guard {
    id: i64,
    asks: mpsc::Sender<Ask>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // If the queue is full, the task notices when it next has something for this watcher.
        let _ = self.asks.try_send(Ask::Cancel(self.id));
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Result<WatchBatch>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.reached = batch.revision;
                return Some(Ok(batch));
            }
            match self.queue.recv().await {
                Some(Ok(batches)) => self.ready.extend(batches),
                Some(Err(failure)) => {
                    self.ended = true;
                    return Some(Err(failure));
                }
                None => {
                    self.ended = true;
                    let closing = self.guard.asks.is_closed();
                    return Some(Err(if closing {
                        closed()
                    } else {
                        StoreError::Lagged { at: self.reached }
                    }));
                }
            }
        }
    }
}
