//! Compaction as kube-apiserver does it, so that any number of API servers, ours and upstream's, do it once together: who
//! raises the version of `compact_rev_key` in a period compacts to where the store was one period before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use oarlock_base::Shutdown;
use tracing::{debug, warn};

use super::Shared;
use super::connection::Kind;
use super::errors::Refusal;
use super::wire::{
    Compare, OneRequest, PutRequest, RangeRequest, RequestOp, TARGET_VERSION, Target, TxnRequest, TxnResponse,
};
use crate::types::{Result, Revision};

/// Beside `/registry`, as upstream's.
const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";

/// What one server knows of the others' compactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Round {
    /// The version of the key, which counts the periods.
    period: i64,
    /// Where the store was in the last round; 0 before the first.
    revision: i64,
}

pub(super) async fn run(shared: Arc<Shared>, every: Duration, stop: Shutdown) -> Result<()> {
    let mut round = Round::default();
    while stop.or(tokio::time::sleep(every)).await.is_some() {
        match stop.or(turn(&shared, round)).await {
            None => break,
            Some(Ok(next)) => round = next,
            Some(Err(failure)) => {
                warn!(error = %failure.into_error(0), "etcd: compaction failed; the next period tries again");
            }
        }
    }
    Ok(())
}

/// One period's turn: compacts if nobody else has taken it.
pub(super) async fn turn(shared: &Shared, last: Round) -> Result<Round, Refusal> {
    let key = Bytes::from_static(COMPACT_REV_KEY);
    let guard =
        Compare { target: TARGET_VERSION, key: key.clone(), value: Some(Target::Version(last.period)) };
    let put = PutRequest { key: key.clone(), value: last.revision.to_string().into(), lease: 0 };
    let look = RangeRequest { key, ..RangeRequest::default() };
    let request = TxnRequest {
        compare: vec![guard],
        success: vec![RequestOp { request: Some(OneRequest::Put(put)) }],
        failure: vec![RequestOp { request: Some(OneRequest::Range(look)) }],
    };
    let answer: TxnResponse = shared.connection.call(Kind::Write, super::TXN, request).await?;
    let revision = answer.header.map_or(0, |h| h.revision);
    if !answer.succeeded {
        let found = answer.responses.into_iter().next().and_then(|r| r.range);
        let period = found.and_then(|r| r.kvs.into_iter().next()).map_or(0, |kv| kv.version);
        return Ok(Round { period, revision });
    }
    // Whoever has just started knows no revision that is a period old.
    if last.revision > 0 {
        match shared.compact_to(Revision(last.revision as u64)).await {
            Ok(()) | Err(Refusal::Compacted) => debug!(revision = last.revision, "etcd: compacted"),
            Err(other) => return Err(other),
        }
    }
    Ok(Round { period: last.period + 1, revision })
}
